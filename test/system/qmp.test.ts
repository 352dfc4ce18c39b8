import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { copyFileSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import {
  addBlockNode,
  addNbdExport,
  continueGuest,
  deleteBlockNode,
  powerDownGuest,
  queryBlockJobs,
  queryBlockNodes,
  queryStatus,
  queryYankableNodes,
  QmpClient,
  quitQemu,
  reopenBlockNodes,
  startBlockStream,
  startNbdServer,
  waitForBlockJob,
  yankBlockNodes,
  type BlockNode,
  type BlockNodeOptions,
} from '../../src/qmp/index.ts'
import { missingPackages, runCommand } from '../lab/command.ts'
import { expectFailure } from '../unit/io/expect-failure.ts'
import { useTemporaryFolder } from '../unit/io/temporary-folder.ts'
import { useProcesses } from './own-processes.ts'

const MIB = 1024 * 1024
const WAIT_MS = 30_000

const missing = missingPackages({ 'qemu-system-x86': ['qemu-system-x86_64'], 'qemu-utils': ['qemu-img'] })
if (missing.length > 0) throw new Error(`These tests need: ${missing.join(', ')}`)

const path = useTemporaryFolder()
const processes = useProcesses()

/** A machine that is emulated, of 64 MiB, without anything but these nodes and a disk; its guest stands still. */
async function startQemu(
  nodes: readonly BlockNodeOptions[] = [],
  disk?: string,
): Promise<{ readonly qemu: QmpClient; readonly process: ChildProcess; readonly socket: string }> {
  const socket = path(`qmp-${processes.length}`)
  const onError = { rerror: 'stop', werror: 'stop' }
  // Shared, so that `io` may write to it.
  const device = { driver: 'virtio-blk-pci', id: 'disk0', drive: disk, 'share-rw': true, ...onError }
  const process = spawn(
    'qemu-system-x86_64',
    [
      ...['-machine', 'q35,accel=tcg', '-m', '64', '-nodefaults', '-display', 'none', '-S'],
      ...['-qmp', `unix:${socket},server=on,wait=off`],
      ...nodes.flatMap((node) => ['-blockdev', JSON.stringify(node)]),
      ...(disk === undefined ? [] : ['-device', JSON.stringify(device)]),
    ],
    { stdio: ['ignore', 'ignore', 'inherit'] },
  )
  processes.push(process)
  return { qemu: await QmpClient.connect(socket, { patienceMs: WAIT_MS, timeoutMs: WAIT_MS }), process, socket }
}

const file = (name: string): BlockNodeOptions => ({ driver: 'file', filename: path(name) })

/** A raw base named `remote`, and a qcow2 overlay `ov` on it. */
function makeDisk(): readonly (BlockNodeOptions & { 'node-name': string })[] {
  writeFileSync(path('base.raw'), Buffer.alloc(8 * MIB, 'base '))
  runCommand('qemu-img', ['create', '-q', '-f', 'qcow2', '-F', 'raw', '-b', path('base.raw'), path('ov.qcow2')])
  return [
    { driver: 'raw', 'node-name': 'remote', 'read-only': true, file: file('base.raw') },
    { driver: 'file', 'node-name': 'ov-file', filename: path('ov.qcow2'), discard: 'unmap' },
    { driver: 'qcow2', 'node-name': 'ov', file: 'ov-file', backing: 'remote', discard: 'unmap' },
  ]
}

/** Reads or writes a node, in the place of a guest. */
async function io(qemu: QmpClient, node: string, command: string): Promise<void> {
  await qemu.execute('human-monitor-command', { 'command-line': `qemu-io ${node} "${command}"` })
}

const named = async (qemu: QmpClient, name: string): Promise<BlockNode> => {
  const node = (await queryBlockNodes(qemu)).find(({ nodeName }) => nodeName === name)
  if (node === undefined) throw new Error(`There is no node ${name}`)
  return node
}

it('talks to a real QEMU: greeting, status, events, end', async () => {
  const { qemu, process, socket } = await startQemu()
  expect(qemu.version[0]).toBeGreaterThanOrEqual(7)
  expect(await queryStatus(qemu)).toEqual({ status: 'prelaunch', isRunning: false })
  const resumed = qemu.waitForEvent('RESUME', ({ name }) => name === 'RESUME', WAIT_MS)
  await continueGuest(qemu)
  await resumed
  expect(await queryStatus(qemu)).toEqual({ status: 'running', isRunning: true })
  await powerDownGuest(qemu)
  const stopped = qemu.waitForEvent('STOP', ({ name }) => name === 'STOP', WAIT_MS)
  await qemu.execute('stop')
  expect((await stopped).data).toEqual({})
  await expectFailure(qemu.execute('no-such-command'), 'QMP_REFUSED', 'CommandNotFound')
  // QEMU lets a second client in, but says nothing to it before the first has gone.
  await expectFailure(QmpClient.connect(socket, { timeoutMs: 200 }), 'QMP_UNREACHABLE', 'it has not greeted')
  await quitQemu(qemu)
  expect((await qemu.closed)?.code).toBe('QMP_CLOSED')
  if (process.exitCode === null) await once(process, 'exit')
  await expectFailure(QmpClient.connect(socket), 'QMP_UNREACHABLE')
})

it('a reply that comes after its client has gone does not reach the next one', async () => {
  const { qemu, socket } = await startQemu()
  const size = 8 * MIB
  await qemu.execute('blockdev-add', { driver: 'null-co', 'node-name': 'slow', size, 'latency-ns': 1_000_000_000 })
  await expectFailure(
    qemu.execute('human-monitor-command', { 'command-line': 'qemu-io slow "read 0 4k"' }, { timeoutMs: 50 }),
    'QMP_TIMEOUT',
  )
  qemu.close()
  const next = await QmpClient.connect(socket, { timeoutMs: WAIT_MS })
  expect(await queryStatus(next)).toEqual({ status: 'prelaunch', isRunning: false })
})

it('a QEMU that is killed has closed the connection', async () => {
  const { qemu, process } = await startQemu()
  const pending = qemu.waitForEvent('the end', ({ name }) => name === 'SHUTDOWN', WAIT_MS)
  process.kill('SIGKILL')
  await expectFailure(pending, 'QMP_CLOSED')
})

it('switches the base of a disk, writes its header, and closes the old base', async () => {
  const nodes = makeDisk()
  copyFileSync(path('base.raw'), path('local.raw'))
  const { qemu } = await startQemu(nodes, 'ov')
  await io(qemu, 'ov', 'write -P 7 0 64k')
  expect(await named(qemu, 'remote')).toEqual({
    ...{ nodeName: 'remote', driver: 'raw', isReadOnly: true, filename: path('base.raw'), sizeBytes: 8 * MIB },
    ...{ backingFilename: undefined, dirtyBitmaps: [] },
  })
  expect((await named(qemu, 'ov')).backingFilename).toBe(path('base.raw'))

  await expectFailure(
    addBlockNode(qemu, { driver: 'raw', 'node-name': 'none', file: file('none.raw') }),
    'QMP_REFUSED',
    'No such file or directory',
  )
  await addBlockNode(qemu, { driver: 'raw', 'node-name': 'local', 'read-only': true, file: file('local.raw') })
  expect((await named(qemu, 'local')).sizeBytes).toBe(8 * MIB)
  await expectFailure(deleteBlockNode(qemu, 'remote'), 'QMP_REFUSED', "Node 'remote' is busy")
  await reopenBlockNodes(qemu, [{ driver: 'qcow2', 'node-name': 'ov', file: 'ov-file', backing: 'local' }], WAIT_MS)
  const ended = waitForBlockJob(qemu, 'header', WAIT_MS)
  const names = { 'job-id': 'header', device: 'ov', 'base-node': 'local', 'backing-file': path('local.raw') }
  await startBlockStream(qemu, names)
  expect(await ended).toBeUndefined()
  await deleteBlockNode(qemu, 'remote')
  rmSync(path('base.raw'))
  await quitQemu(qemu)
  await qemu.closed
  const info = JSON.parse(runCommand('qemu-img', ['info', '-U', '--output=json', path('ov.qcow2')])) as object
  runCommand('qemu-img', ['convert', '-O', 'raw', path('ov.qcow2'), path('all.raw')])
  const expected = Buffer.alloc(8 * MIB, 'base ').fill(7, 0, 65_536)
  expect(readFileSync(path('all.raw')).equals(expected)).toBe(true)
  expect(info).toMatchObject({ 'backing-filename': path('local.raw'), 'backing-filename-format': 'raw' })
})

it('marks what is written, and copies just that', async () => {
  const { qemu } = await startQemu(makeDisk(), 'ov')
  const since = { node: 'ov', name: 'since' }
  await qemu.execute('block-dirty-bitmap-add', { ...since, granularity: 65_536, persistent: true })
  await io(qemu, 'ov', 'write -P 9 1M 128k')
  await io(qemu, 'ov', 'write -P 9 3M 1k')
  const [bitmap] = (await named(qemu, 'ov')).dirtyBitmaps
  expect(bitmap).toEqual({
    ...{ name: 'since', dirtyBytes: 3 * 65_536, granularityBytes: 65_536 },
    ...{ isRecording: true, isBusy: false, isPersistent: true, isInconsistent: false },
  })
  writeFileSync(path('target.raw'), Buffer.alloc(8 * MIB))
  await addBlockNode(qemu, { driver: 'raw', 'node-name': 'target', file: file('target.raw') })
  const backup = { 'job-id': 'commit', device: 'ov', target: 'target', sync: 'incremental', bitmap: 'since' }
  const ended = waitForBlockJob(qemu, 'commit', WAIT_MS)
  await qemu.execute('blockdev-backup', backup)
  expect(await ended).toBeUndefined()
  expect((await named(qemu, 'ov')).dirtyBitmaps[0]?.dirtyBytes).toBe(0)
  await deleteBlockNode(qemu, 'target')
  const expected = Buffer.alloc(8 * MIB)
  expected.fill(9, MIB, MIB + 131_072)
  Buffer.alloc(8 * MIB, 'base ').copy(expected, 3 * MIB, 3 * MIB, 3 * MIB + 65_536)
  expected.fill(9, 3 * MIB, 3 * MIB + 1024)
  expect(readFileSync(path('target.raw')).equals(expected)).toBe(true)

  await io(qemu, 'ov', 'write 0 1k')
  await qemu.execute('block-dirty-bitmap-clear', since)
  expect((await named(qemu, 'ov')).dirtyBitmaps[0]?.dirtyBytes).toBe(0)
  await qemu.execute('block-dirty-bitmap-remove', since)
  expect((await named(qemu, 'ov')).dirtyBitmaps).toEqual([])
})

it('tells of jobs under way, and of their end', async () => {
  const { qemu } = await startQemu(makeDisk(), 'ov')
  const ended = waitForBlockJob(qemu, 'slow', WAIT_MS)
  await expectFailure(
    startBlockStream(qemu, { 'job-id': 'slow', device: 'ov', 'base-node': 'nowhere' }),
    'QMP_REFUSED',
    'nowhere',
  )
  await addBlockNode(qemu, { driver: 'null-co', 'node-name': 'sink', size: 8 * MIB })
  const backup = { 'job-id': 'slow', device: 'ov', target: 'sink', sync: 'full', speed: 65_536 }
  await qemu.execute('blockdev-backup', backup)
  const [job] = await queryBlockJobs(qemu)
  expect(job).toMatchObject({ id: 'slow', type: 'backup', status: 'running', bytesPerSec: 65_536, isReady: false })
  await qemu.execute('block-job-cancel', { device: 'slow', force: true })
  expect(await ended).toBe('it was cancelled')
  expect(await queryBlockJobs(qemu)).toEqual([])
})

it('offers a node by NBD, and breaks the connection of another QEMU to it out of band', async () => {
  const { qemu: server, process } = await startQemu(makeDisk())
  const address = { type: 'unix', path: path('nbd') } as const
  await startNbdServer(server, address, 4)
  await addNbdExport(server, { id: 'e', nodeName: 'remote', name: 'base' })
  const { qemu: client } = await startQemu()
  await addBlockNode(client, { driver: 'nbd', 'node-name': 'far', 'read-only': true, server: address, export: 'base' })
  expect(await queryYankableNodes(client)).toEqual(['far'])
  await io(client, 'far', 'read 0 4k')

  // The server hangs with a read under way, and with it the main loop of the other: only what is out of band gets through.
  process.kill('SIGSTOP')
  const stuck = io(client, 'far', 'read 1M 4k')
  await yankBlockNodes(client, ['far'])
  await stuck
  await deleteBlockNode(client, 'far')
  expect(await queryYankableNodes(client)).toEqual([])
  process.kill('SIGCONT')
  await server.execute('nbd-server-stop')
})
