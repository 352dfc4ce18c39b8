import { constants } from 'node:os'
import { setTimeout as pause } from 'node:timers/promises'
import { SkilfishError, type ErrorCode } from '../../errors.ts'
import { openSource, rbdLimits, runProgram, systemReason } from '../../io/index.ts'
import type { BlockNodeOptions } from '../../qmp/index.ts'
import { parseRbdName, type RbdName } from '../../rbd/index.ts'
import { RangeList, type ImageRange } from '../extents.ts'
import { acquireLease, LEASE_MS, type LeasePlace, type LeaseRecord } from './lease.ts'
import {
  generationOf,
  isOutdated,
  snapshotName,
  type ClusterRecord,
  type Lease,
  type LeaseWait,
  type Storage,
  type Template,
  type VmRecord,
} from './storage.ts'

/** Keys of metadata of images: what is kept with a machine's image, with the cluster, and its lease. */
const KEY = { vm: 'skilfish.vm', cluster: 'skilfish.cluster', lease: 'skilfish.lease' } as const

/** How long a command of `rbd` may take, milliseconds. A roll-back goes through all objects. */
const TIMEOUT_MS = 600_000

/** How long the cluster may take to answer each single request of it, seconds. One whose OSD has died answers again within some 30 s. */
const ANSWER_TIMEOUT_SECONDS = 60

/** How long an image that is to be removed may still be in use. Ceph takes a client that has died for one that lives for 30 s. */
const MAX_WATCHED_SECONDS = 60

/** What an image is called until it is complete: no machine's name makes one that ends so. */
const PARTIAL_SUFFIX = '~part'

const { errno } = constants

/** Options for that. Otherwise a stopped cluster is waited for without end. */
const PATIENCE = rbdLimits(ANSWER_TIMEOUT_SECONDS)

/** A Ceph cluster, through `rbd`: machines are clones of the template's snapshot, in its pool, named `CLUSTER.VM`. */
export class RbdStorage implements Storage {
  readonly #text: string
  readonly #name: RbdName
  readonly #cluster: string
  readonly #conf: string | undefined
  /** The last that was acquired. Without one nobody else is expected. */
  #lease: Lease | undefined

  /** @param text `rbd:[POOL/[NAMESPACE/]]IMAGE@SNAPSHOT` @param conf the configuration of Ceph, here and on every host */
  constructor(text: string, cluster: string, conf: string | undefined) {
    this.#text = text
    this.#name = parseRbdName(text)
    this.#cluster = cluster
    this.#conf = conf
    if (this.#name.snapshot === undefined) {
      const wanted = 'name a snapshot (IMAGE@SNAPSHOT), as an image may change'
      throw new SkilfishError('CLUSTER_INVALID', `cannot use ${text} as a template; ${wanted}`)
    }
  }

  async template(): Promise<Template> {
    const conf = this.#conf === undefined ? {} : { cephConf: this.#conf }
    const { identity, sizeBytes } = await openSource(this.#text, conf)
    if (identity === undefined || sizeBytes === undefined) throw new TypeError('a snapshot has an identity and a size')
    return {
      name: `${this.#name.image}@${this.#name.snapshot ?? ''}`,
      identity,
      sizeBytes,
      source: this.#text,
      ...conf,
    }
  }

  async acquireLease(wait: LeaseWait): Promise<Lease> {
    const marker = this.#spec(this.#marker)
    // Without exclusive-lock, which would have whoever writes metadata wait for the holder of an advisory lock.
    await this.#rbd(['create', '--size', '1M', '--image-feature', 'layering', marker], [errno.EEXIST])
    return (this.#lease = await acquireLease(this.#cluster, this.#leasePlace(marker), wait))
  }

  async clusterRecord(): Promise<ClusterRecord> {
    return (await this.#metadata<ClusterRecord>(this.#marker, KEY.cluster)) ?? {}
  }

  async setClusterRecord(record: ClusterRecord): Promise<void> {
    await this.#rbd(['image-meta', 'set', this.#spec(this.#marker), KEY.cluster, JSON.stringify(record)])
  }

  vmRecord(vm: string): Promise<VmRecord | undefined> {
    return this.#metadata<VmRecord>(this.#image(vm), KEY.vm)
  }

  async setVmRecord(vm: string, record: VmRecord): Promise<void> {
    await this.#change(['image-meta', 'set', this.#spec(this.#image(vm)), KEY.vm, JSON.stringify(record)])
  }

  async createVm(vm: string, record: VmRecord): Promise<void> {
    const image = this.#spec(this.#image(vm))
    const partial = `${image}${PARTIAL_SUFFIX}`
    await this.#remove(partial)
    const format = ['--rbd-default-clone-format', '2']
    await this.#change(['clone', ...format, this.#spec(this.#name.image, this.#name.snapshot), partial])
    await this.#change(['snap', 'create', '--no-progress', `${partial}@${snapshotName(0)}`])
    await this.#change(['image-meta', 'set', partial, KEY.vm, JSON.stringify(record)])
    const isTaken = (await this.#change(['rename', partial, image], [errno.EEXIST])) === 'allowed'
    if (!isTaken) return
    await this.#remove(partial)
    const text = 'an image of somebody else has the name; rename it, or the machine'
    throw new SkilfishError('STORAGE_FAILED', `cannot make ${image}: ${text}`)
  }

  async removeVm(vm: string): Promise<void> {
    const image = this.#spec(this.#image(vm))
    await this.#remove(`${image}${PARTIAL_SUFFIX}`)
    if ((await this.vmRecord(vm)) !== undefined) await this.#remove(image)
  }

  async #remove(image: string): Promise<void> {
    await this.#waitUnused(image)
    await this.#lease?.confirm()
    await this.#change(['snap', 'purge', '--no-progress', image], [errno.ENOENT])
    await this.#change(['rm', '--no-progress', image], [errno.ENOENT])
  }

  /** An image that is in use cannot be removed, and without its snapshots it is of no use either. */
  async #waitUnused(image: string): Promise<void> {
    for (let seconds = 0; ; seconds++) {
      const text = await this.#rbd(['status', '--format', 'json', image], [errno.ENOENT])
      const { watchers = [] } = text === 'allowed' ? {} : (JSON.parse(text) as { watchers?: { address: string }[] })
      if (watchers.length === 0) return
      if (seconds >= MAX_WATCHED_SECONDS) {
        const users = watchers.map(({ address }) => address).join(', ')
        throw new SkilfishError('STORAGE_FAILED', `cannot remove ${image}: it is in use by ${users}`)
      }
      await pause(1000)
    }
  }

  async removeCluster(): Promise<void> {
    await this.#rbd(['rm', '--no-progress', this.#spec(this.#marker)], [errno.ENOENT])
  }

  remoteImage(vm: string, generation: number): Promise<BlockNodeOptions> {
    return Promise.resolve({ ...this.#node(vm), snapshot: snapshotName(generation) })
  }

  openTarget(vm: string): Promise<BlockNodeOptions> {
    return Promise.resolve(this.#node(vm))
  }

  closeTarget(): Promise<void> {
    return Promise.resolve()
  }

  async snapshot(vm: string, generation: number): Promise<void> {
    const image = this.#spec(this.#image(vm))
    await this.#change(['snap', 'create', '--no-progress', `${image}@${snapshotName(generation)}`], [errno.EEXIST])
  }

  async rollBack(vm: string, generation: number): Promise<void> {
    await this.#removeSnapshots(vm, (later) => later > generation)
    await this.#change(['snap', 'rollback', '--no-progress', this.#spec(this.#image(vm), snapshotName(generation))])
  }

  prune(vm: string, generation: number): Promise<void> {
    return this.#removeSnapshots(vm, (older) => isOutdated(older, generation))
  }

  async #removeSnapshots(vm: string, isUnwanted: (generation: number) => boolean): Promise<void> {
    const image = this.#spec(this.#image(vm))
    const snapshots = JSON.parse(await this.#rbd(['snap', 'ls', '--format', 'json', image])) as { name: string }[]
    for (const { name } of snapshots) {
      const generation = generationOf(name)
      if (generation !== undefined && isUnwanted(generation))
        await this.#change(['snap', 'rm', '--no-progress', `${image}@${name}`], [errno.ENOENT])
    }
  }

  async uniqueRanges(vm: string, generation: number): Promise<readonly ImageRange[]> {
    if (generation === 0) return []
    const list = new RangeList()
    const args = ['diff', '--from-snap', snapshotName(0), this.#spec(this.#image(vm), snapshotName(generation))]
    // As a table, since in JSON all is one line, of any length.
    await this.#rbd(args, [], (line) => {
      const range = diffRange(line)
      if (range !== undefined) list.add(range)
    })
    return list.ranges
  }

  #leasePlace(marker: string): LeasePlace {
    /** A lock's name tells its owner and when it was taken: a lease that its owner could not write yet holds from then on. */
    const locks = async (): Promise<readonly { id: string; locker: string }[]> => {
      // Whoever destroys the cluster removes what the lease is kept with.
      const text = await this.#rbd(['lock', 'ls', '--format', 'json', marker], [errno.ENOENT])
      return text === 'allowed' ? [] : (JSON.parse(text) as { id: string; locker: string }[])
    }
    return {
      take: async (record) => {
        const id = `${record.owner} ${record.expiresMs - LEASE_MS}`
        const isTaken = (await this.#rbd(['lock', 'add', marker, id], [errno.EBUSY, errno.EEXIST])) === 'allowed'
        if (isTaken) return false
        await this.#rbd(['image-meta', 'set', marker, KEY.lease, JSON.stringify(record)])
        return true
      },
      read: async () => {
        const [lock] = await locks()
        if (lock === undefined) return undefined
        const [owner = '', takenMs = '0'] = lock.id.split(' ')
        const record = await this.#metadata<LeaseRecord>(this.#marker, KEY.lease)
        return record?.owner === owner ? record : { owner, expiresMs: Number(takenMs) + LEASE_MS }
      },
      renew: async (record) => {
        await this.#rbd(['image-meta', 'set', marker, KEY.lease, JSON.stringify(record)])
      },
      drop: async (owner) => {
        for (const { id, locker } of await locks()) {
          if (id.split(' ')[0] === owner) await this.#rbd(['lock', 'rm', marker, id, locker], [errno.ENOENT])
        }
      },
    }
  }

  /** No machine has a name that begins so. */
  get #marker(): string {
    return `${this.#cluster}._cluster`
  }

  #image(vm: string): string {
    return `${this.#cluster}.${vm}`
  }

  #spec(image: string, snapshot?: string): string {
    const { pool, namespace } = this.#name
    const path = [pool, namespace, image].filter((part) => part !== undefined).join('/')
    return snapshot === undefined ? path : `${path}@${snapshot}`
  }

  #node(vm: string): BlockNodeOptions & { driver: 'rbd' } {
    const { pool = 'rbd', namespace } = this.#name
    return {
      ...{ driver: 'rbd', pool, image: this.#image(vm) },
      ...(namespace === undefined ? {} : { namespace }),
      ...(this.#conf === undefined ? {} : { conf: this.#conf }),
    }
  }

  async #metadata<Value>(image: string, key: string): Promise<Value | undefined> {
    const text = await this.#rbd(['image-meta', 'ls', '--format', 'json', this.#spec(image)], [errno.ENOENT])
    if (text === '' || text === 'allowed') return undefined
    const value = (JSON.parse(text) as Record<string, string>)[key]
    return value === undefined ? undefined : (JSON.parse(value) as Value)
  }

  /** Each command of a method is given only under the lease: others may have it since the one before. */
  async #change(args: readonly string[], allowed: readonly number[] = []): Promise<string> {
    this.#lease?.check()
    return this.#rbd(args, allowed)
  }

  /**
   * @param onLine gets each line that it prints instead, where there may be more than 4 MiB of them
   * @returns what it printed, or `allowed` when it ended with one of the error numbers that may be
   */
  async #rbd(
    args: readonly string[],
    allowed: readonly number[] = [],
    onLine?: (line: string) => void,
  ): Promise<string> {
    const conf = this.#conf === undefined ? [] : ['--conf', this.#conf]
    const { end, stdout, said } = await runProgram('rbd', [...conf, ...PATIENCE, ...args], TIMEOUT_MS, onLine)
    if (end.kind === 'exited' && end.status === 0) return stdout
    if (end.kind === 'exited' && allowed.includes(end.status)) return 'allowed'
    if (end.kind === 'not-started') {
      throw new SkilfishError('RBD_MISSING', `cannot run rbd: ${systemReason(end.cause)}; it must be installed`)
    }
    const fail = (code: ErrorCode, reason: string): SkilfishError =>
      new SkilfishError(code, `cannot have Ceph do rbd ${args.slice(0, 2).join(' ')}: ${reason}`)
    const isUnreachable = end.kind === 'exited' && end.status === errno.ETIMEDOUT
    if (isUnreachable || said.includes("couldn't connect to the cluster")) {
      throw fail('RBD_UNREACHABLE', `the cluster does not answer (${said})`)
    }
    if (end.kind === 'stopped') throw fail('STORAGE_FAILED', `it ${end.reason}`)
    if (end.kind === 'killed') throw fail('STORAGE_FAILED', `it was ended by ${end.signal}`)
    throw fail('STORAGE_FAILED', said || `status ${end.status}`)
  }
}

/** Reads a line of the table that `rbd diff` prints: offset, length, and whether there is data or zeros now. @returns undefined for its head */
function diffRange(line: string): ImageRange | undefined {
  const [, offset, lengthBytes] = /^\s*(\d+)\s+(\d+)\s+(?:data|zero)\s*$/.exec(line) ?? []
  if (offset !== undefined) return { offset: Number(offset), lengthBytes: Number(lengthBytes) }
  if (/^\s*(Offset\s+Length\s+Type\s*)?$/.test(line)) return undefined
  throw new SkilfishError('STORAGE_FAILED', `cannot have Ceph do rbd diff: it printed ${JSON.stringify(line)}`)
}
