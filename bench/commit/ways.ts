import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, open, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { promisify } from 'node:util'
import { runStep } from '../../src/deployer/index.ts'
import { addBlockNode, QmpClient, quitQemu, waitForBlockJob, type BlockNodeOptions } from '../../src/qmp/index.ts'
import { encodeRbdRecord, type WritableRbdRecord } from '../../src/rbd/index.ts'
import { COMMAND_ENVIRONMENT } from '../../test/lab/command.ts'

/** What is to be committed, and to what. */
export interface Commit {
  /** A qcow2 overlay of `basePath` with the persistent bitmap {@link BITMAP}; written to. */
  readonly overlayPath: string
  /** The raw image that it is on. */
  readonly basePath: string
  /** The clone, in the pool `rbd`. */
  readonly image: string
  readonly confPath: string
  /** Where rbd-fuse shows the pool. */
  readonly fusePath: string
}

export interface Way {
  readonly name: string
  readonly text: string
  /** Whether the pool must be mounted. */
  readonly needsFuse: boolean
  /** Resolves when the cluster has acknowledged everything. */
  readonly commit: (commit: Commit) => Promise<void>
}

/** What the overlay's bitmap is called. */
export const BITMAP = 'since-commit'

/** Data of one record, bytes: an object of RBD. */
const RECORD_BYTES = 4 * 1024 * 1024

const JOB_TIMEOUT_MS = 600_000

export const WAYS: readonly Way[] = [
  {
    name: 'paper',
    text: 'rbd-fuse and `qemu-img commit` (the paper)',
    needsFuse: true,
    commit: (commit) => commitOnto(commit, `${commit.fusePath}/${commit.image}`),
  },
  {
    name: 'commit',
    text: '`qemu-img commit` to `rbd:`',
    needsFuse: false,
    commit: (commit) => commitOnto(commit, `rbd:rbd/${commit.image}:conf=${commit.confPath}`),
  },
  {
    name: 'backup',
    text: 'bitmap and incremental `blockdev-backup`',
    needsFuse: false,
    commit: backUp,
  },
  {
    name: 'skilfish',
    text: '`skilfish commit`: what the bitmap marks, written through QEMU, and read back',
    needsFuse: false,
    commit: commitAsDeployer,
  },
  {
    name: 'diff',
    text: "the overlay's clusters into `rbd import-diff`",
    needsFuse: false,
    commit: importDiff,
  },
]

const run = promisify(execFile)

/** Puts the name of the target into the overlay's header, and has QEMU write the clusters there. */
async function commitOnto({ overlayPath }: Commit, target: string): Promise<void> {
  await run('qemu-img', ['rebase', '-u', '-f', 'qcow2', '-F', 'raw', '-b', target, overlayPath])
  await run('qemu-img', ['commit', '-q', '-d', '-f', 'qcow2', overlayPath])
}

/** Has QEMU's storage daemon write what the bitmap marks. */
async function backUp({ overlayPath, basePath, image, confPath }: Commit): Promise<void> {
  const path = `${overlayPath}.qmp`
  const daemon = spawn(
    'qemu-storage-daemon',
    ['--chardev', `socket,id=qmp,path=${path},server=on,wait=off`, '--monitor', 'chardev=qmp'],
    { stdio: ['ignore', 'ignore', 'inherit'], env: COMMAND_ENVIRONMENT },
  )
  const ended = once(daemon, 'exit')
  try {
    const qemu = await QmpClient.connect(path, { patienceMs: 10_000 })
    await addBlockNode(qemu, { driver: 'rbd', 'node-name': 'clone', pool: 'rbd', image, conf: confPath })
    const base = { driver: 'file', filename: basePath } as const
    await addBlockNode(qemu, { driver: 'raw', 'node-name': 'base', 'read-only': true, file: base })
    const overlay = { driver: 'file', filename: overlayPath } as const
    await addBlockNode(qemu, { driver: 'qcow2', 'node-name': 'overlay', file: overlay, backing: 'base' })
    const end = waitForBlockJob(qemu, 'commit', JOB_TIMEOUT_MS)
    const job = { 'job-id': 'commit', device: 'overlay', target: 'clone', sync: 'incremental', bitmap: BITMAP }
    await qemu.execute('blockdev-backup', job)
    const failure = await end
    if (failure !== undefined) throw new Error(`The backup failed: ${failure}`)
    await quitQemu(qemu)
    await ended
  } finally {
    if (daemon.exitCode === null) daemon.kill('SIGKILL')
    await rm(path, { force: true })
  }
}

/** The host's step of `skilfish commit`, in a folder that looks as if the machine had run on this host. */
async function commitAsDeployer({ overlayPath, basePath, image, confPath }: Commit): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'skilfish-commit-'))
  try {
    const { ino, ctimeNs, size } = await stat(basePath, { bigint: true })
    const base = { key: 'base', identity: 'base', sizeBytes: Number(size) }
    const vm = join(folder, 'vms/bench/vm')
    await mkdir(join(folder, 'bases'), { recursive: true })
    await mkdir(vm, { recursive: true })
    await symlink(basePath, join(folder, 'bases/base.raw'))
    await symlink(overlayPath, join(vm, 'overlay.qcow2'))
    const record = { ...base, rootDigest: '', inode: String(ino), changedNs: String(ctimeNs) }
    await writeFile(join(folder, 'bases/base.json'), JSON.stringify(record))
    const overlay = { image: 'clone', template: base.identity, generation: 0 }
    const journal = { ...overlay, sizeBytes: base.sizeBytes, base: 'local', localPath: basePath }
    await writeFile(join(vm, 'vm.json'), JSON.stringify(journal))
    const target: BlockNodeOptions = { driver: 'rbd', pool: 'rbd', image, conf: confPath }
    await runStep(
      {
        ...{ step: 'commit', folder, cluster: 'bench', vm: 'vm', image: 'clone', generation: 1, base, bytesPerSec: 0 },
        ...{ remote: target, target },
      },
      { signal: new AbortController().signal, onProgress: () => undefined },
    )
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** Part of what `qemu-img map` prints. */
interface MapEntry {
  readonly start: number
  readonly length: number
  /** 0 for the overlay. */
  readonly depth: number
  readonly zero: boolean
  /** Where the data is in the file. */
  readonly offset?: number
}

async function importDiff(commit: Commit): Promise<void> {
  const options = ['--conf', commit.confPath, '--no-progress']
  const rbd = spawn('rbd', [...options, 'import-diff', '-', `rbd/${commit.image}`], {
    stdio: ['pipe', 'ignore', 'inherit'],
    env: COMMAND_ENVIRONMENT,
  })
  const ended = once(rbd, 'exit')
  await pipeline(Readable.from(diffStream(commit.overlayPath), { objectMode: false }), rbd.stdin)
  await ended
  if (rbd.exitCode !== 0) throw new Error(`rbd import-diff failed (${String(rbd.exitCode)})`)
}

/** The overlay's clusters, read where they are in the file. Those of an overlay that was closed well and is not compressed can be. */
async function* diffStream(overlayPath: string): AsyncGenerator<Uint8Array> {
  const { stdout } = await run('qemu-img', ['map', '-f', 'qcow2', '--output=json', overlayPath], {
    maxBuffer: 64 * 1024 ** 2,
  })
  const entries = (JSON.parse(stdout) as readonly MapEntry[]).filter(({ depth }) => depth === 0)
  const file = await open(overlayPath)
  const encode = (record: WritableRbdRecord): readonly Uint8Array[] => encodeRbdRecord(record, 1)
  try {
    yield* encode({ kind: 'diff', version: 1 })
    for (const { start, length, zero, offset } of entries) {
      if (zero) yield* encode({ kind: 'zeros', offset: start, lengthBytes: length })
      else if (offset === undefined) throw new Error(`${overlayPath} has clusters that cannot be read in their place`)
      else {
        for (let at = 0; at < length; at += RECORD_BYTES) {
          const bytes = Buffer.allocUnsafe(Math.min(RECORD_BYTES, length - at))
          const { bytesRead } = await file.read(bytes, 0, bytes.length, offset + at)
          if (bytesRead !== bytes.length) throw new Error(`${overlayPath} ends early`)
          yield* encode({ kind: 'data', offset: start + at, bytes })
        }
      }
    }
    yield* encode({ kind: 'end' })
  } finally {
    await file.close()
  }
}
