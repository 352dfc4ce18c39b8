import { constants } from 'node:os'
import { SkilfishError, type ErrorCode } from '../errors.ts'
import type { RbdName } from '../rbd/index.ts'
import { Program, runProgram, type ProgramEnd, type ProgramRun } from './program.ts'
import { systemReason } from './storage-error.ts'

const { errno } = constants

/** How the cluster is waited for. */
export interface RbdPatience {
  /** How long a command that asks or changes little may take, milliseconds. */
  readonly commandMs: number
  /** After so long without a byte of a stream the cluster is asked whether it is still there, milliseconds. */
  readonly silenceMs: number
}

/** A cluster in which an OSD has died answers again within some 30 s. An empty image of 1 TiB yields its first byte after 20 s. */
const RBD_PATIENCE: RbdPatience = { commandMs: 60_000, silenceMs: 60_000 }

export interface RbdToolOptions {
  readonly patience?: RbdPatience
  /** Path of Ceph's configuration. Default: what `rbd` looks at by itself. */
  readonly cephConf?: string
}

/** Options of `rbd` that limit how long the cluster may take to answer each single request. Without them it is waited for without end. */
export const rbdLimits = (seconds: number): readonly string[] =>
  ['client-mount-timeout', 'rados-mon-op-timeout', 'rados-osd-op-timeout'].flatMap((name) => [
    `--${name}`,
    String(seconds),
  ])

type Side = 'SOURCE' | 'TARGET'

/** `rbd` ends with the error number of what failed. */
const FAULTS: Readonly<Record<Side, Readonly<Record<number, ErrorCode>>>> = {
  SOURCE: { [errno.ENOENT]: 'SOURCE_NOT_FOUND', [errno.EACCES]: 'SOURCE_DENIED', [errno.EPERM]: 'SOURCE_DENIED' },
  TARGET: {
    [errno.ENOENT]: 'TARGET_NOT_FOUND',
    [errno.EACCES]: 'TARGET_DENIED',
    [errno.EPERM]: 'TARGET_DENIED',
    [errno.EROFS]: 'TARGET_DENIED',
    [errno.EBUSY]: 'TARGET_BUSY',
    [errno.EEXIST]: 'TARGET_BUSY',
    [errno.ENOSPC]: 'TARGET_FULL',
    [errno.EDQUOT]: 'TARGET_FULL',
  },
}

/** What it says when it does not get as far as the cluster, whatever its status. */
const UNREACHABLE = /couldn't connect to the cluster|unable to open config file|unable to get monitor info/

/** The program that this is all about. */
const RBD = 'rbd'

/** Named options, as nothing in a value can be taken for another option or another part of a name. */
const place = ({ pool, namespace, image, snapshot }: RbdName): string[] => [
  ...(pool === undefined ? [] : ['--pool', pool]),
  ...(namespace === undefined ? [] : ['--namespace', namespace]),
  ...['--image', image],
  ...(snapshot === undefined ? [] : ['--snap', snapshot]),
]

/**
 * The program `rbd` for one image. Which cluster, which user and which key are its own affair, unless it is told a
 * configuration: it looks at `/etc/ceph`, and at `CEPH_CONF` and `CEPH_ARGS` in the environment.
 */
export class RbdTool {
  readonly #label: string
  readonly #name: RbdName
  readonly #side: Side
  readonly #patience: RbdPatience
  readonly #conf: readonly string[]

  /** @param label the image for messages */
  constructor(label: string, name: RbdName, side: Side, { patience = RBD_PATIENCE, cephConf }: RbdToolOptions = {}) {
    this.#label = label
    this.#name = name
    this.#side = side
    this.#patience = patience
    this.#conf = cephConf === undefined ? [] : ['--conf', cephConf]
  }

  /**
   * Options for a command that is waited for {@link patiently}: it gives a request up when a cluster that has stopped altogether would have
   * been given up too.
   */
  get limits(): readonly string[] {
    return rbdLimits(Math.ceil((this.#patience.silenceMs + this.#patience.commandMs) / 1000))
  }

  /**
   * The image's id and size, or undefined when its pool has no such image.
   * @throws SkilfishError of its side, also when there is no such pool or snapshot
   */
  async find(): Promise<{ readonly id: string; readonly sizeBytes: number } | undefined> {
    const { end, stdout, said } = await this.#run('info', ['--format', 'json'], this.#name)
    // Nothing but this text tells a missing image from a missing pool, namespace or snapshot.
    if (end.kind === 'exited' && end.status === errno.ENOENT && said.includes('error opening image')) return undefined
    this.check('look at', 'info', end, said)
    const { id, size } = fields(stdout)
    if (typeof id === 'string' && typeof size === 'number' && Number.isSafeInteger(size)) return { id, sizeBytes: size }
    throw this.#strange('info', stdout)
  }

  /** The id of the named snapshot, which no later one of that name has. */
  async snapshotId(): Promise<number> {
    const { snapshot, ...image } = this.#name
    const stdout = await this.command('look at', 'snap ls', ['--format', 'json'], image)
    const { id } = items(stdout).find(({ name }) => name === snapshot) ?? {}
    if (typeof id === 'number') return id
    throw this.#strange('snap ls', stdout)
  }

  /** What the image's metadata has under a key, or undefined when it has none. */
  async metadata(key: string): Promise<string | undefined> {
    const stdout = await this.command('look at', 'image-meta ls', ['--format', 'json'])
    const value = fields(stdout)[key]
    return typeof value === 'string' ? value : undefined
  }

  /** The addresses of those who have the image open for writing. */
  async watchers(): Promise<readonly string[]> {
    const stdout = await this.command('look at', 'status', ['--format', 'json'])
    const { watchers } = fields(stdout)
    if (Array.isArray(watchers)) return watchers.map((watcher: Record<string, unknown>) => String(watcher['address']))
    throw this.#strange('status', stdout)
  }

  /**
   * Runs a command to its end. @returns its standard output
   * @param action completes "cannot … IMAGE" in messages
   */
  async command(
    action: string,
    command: string,
    options: readonly string[],
    name: RbdName = this.#name,
  ): Promise<string> {
    const { end, stdout, said } = await this.#run(command, options, name)
    this.check(action, command, end, said)
    return stdout
  }

  /** Starts a command that reads or writes a stream. */
  start(command: string, options: readonly string[]): Program {
    return new Program(RBD, [command, '--no-progress', ...this.#conf, ...place(this.#name), ...options])
  }

  /**
   * Waits for something of a stream. While it does not come, the cluster is asked again and again whether it still answers.
   * @throws SkilfishError RBD_UNREACHABLE when it does not, and what `work` rejects with
   */
  async patiently<Result>(work: Promise<Result>): Promise<Result> {
    work.catch(() => undefined)
    for (;;) {
      let timer: NodeJS.Timeout | undefined
      const late = new Promise<undefined>((resolve) => {
        timer = setTimeout(() => resolve(undefined), this.#patience.silenceMs)
      })
      const first = await Promise.race([work.then((result) => ({ result })), late]).finally(() => clearTimeout(timer))
      if (first !== undefined) return first.result
      await this.find()
    }
  }

  /** @throws SkilfishError unless the command ended well */
  check(action: string, command: string, end: ProgramEnd, said: string): void {
    if (end.kind === 'exited' && end.status === 0) return
    const [code, text, cause] = this.#fault(command, end, said)
    throw new SkilfishError(code, `cannot ${action} ${this.#label}: ${text}`, { cause })
  }

  #fault(command: string, end: ProgramEnd, said: string): [code: ErrorCode, text: string, cause?: Error] {
    const failed: ErrorCode = `${this.#side}_FAILED`
    switch (end.kind) {
      case 'not-started':
        return [
          'RBD_MISSING',
          `the program ${RBD} cannot be started (${systemReason(end.cause)}); it must be installed`,
          end.cause,
        ]
      case 'killed':
        return [failed, `${RBD} ${command} was ended by ${end.signal}; it must run to its end`]
      case 'stopped':
        return ['RBD_UNREACHABLE', `${RBD} ${command} ${end.reason}; the cluster must answer`]
      case 'exited': {
        const text = `${RBD} ${command} says: ${said === '' ? `status ${end.status}` : said}`
        const isUnreachable = end.status === errno.ETIMEDOUT || UNREACHABLE.test(said)
        return [isUnreachable ? 'RBD_UNREACHABLE' : (FAULTS[this.#side][end.status] ?? failed), text]
      }
      default:
        return end satisfies never
    }
  }

  #run(command: string, options: readonly string[], name: RbdName): Promise<ProgramRun> {
    return runProgram(RBD, [...command.split(' '), ...this.#conf, ...place(name), ...options], this.#patience.commandMs)
  }

  #strange(command: string, stdout: string): SkilfishError {
    const text = `${RBD} ${command} prints what this program does not know: ${JSON.stringify(stdout.slice(0, 200))}`
    return new SkilfishError(`${this.#side}_FAILED`, `cannot look at ${this.#label}: ${text}`)
  }
}

/** The members of a JSON object; none when `text` is something else. */
function fields(text: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}
  } catch {
    return {}
  }
}

/** The objects in a JSON array. */
const items = (text: string): readonly Readonly<Record<string, unknown>>[] =>
  Object.values(fields(text)).map((item) =>
    typeof item === 'object' && item !== null ? (item as Record<string, unknown>) : {},
  )
