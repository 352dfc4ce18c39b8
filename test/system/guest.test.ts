import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { copyFileSync, openSync, statSync, writeSync, closeSync } from 'node:fs'
import { beforeAll, expect, it } from 'vitest'
import { powerDownGuest, QmpClient } from '../../src/qmp/index.ts'
import { missingPackages, runCommand } from '../lab/command.ts'
import { GuestConsole } from '../lab/guest-console.ts'
import { guestFiles, verifyGuestDisk, writeGuestDisk } from '../lab/guest.ts'
import { allocatedBytes } from '../lab/images.ts'
import { useTemporaryFolder } from '../unit/io/temporary-folder.ts'
import { useProcesses } from './own-processes.ts'

const MIB = 1024 * 1024
const DISK_BYTES = 64 * MIB
const BLOCK_COUNT = DISK_BYTES / 4096

const missing = missingPackages({ 'qemu-system-x86': ['qemu-system-x86_64'] })
if (missing.length > 0) throw new Error(`These tests need: ${missing.join(', ')}`)

beforeAll(() => void guestFiles())

const path = useTemporaryFolder()
const processes = useProcesses()

function startGuest(disk: string, { commands = '', serial = 'unix' } = {}): ChildProcess {
  const { kernelPath, initrdPath, append } = guestFiles()
  const qemu = spawn(
    'qemu-system-x86_64',
    [
      ...['-accel', 'tcg,thread=multi', '-cpu', 'max', '-machine', 'q35', '-m', '128', '-nodefaults', '-no-reboot'],
      ...['-display', 'none', '-kernel', kernelPath, '-initrd', initrdPath, '-append', `${append} ${commands}`],
      ...['-serial', serial === 'unix' ? `unix:${path('console')},server=on,wait=off` : serial],
      ...['-qmp', `unix:${path('qmp')},server=on,wait=off`],
      ...['-drive', `if=none,id=disk,format=raw,file=${disk}`],
      ...['-device', 'virtio-blk-pci,drive=disk,rerror=report,werror=report'],
    ],
    { stdio: ['ignore', 'ignore', 'inherit'] },
  )
  processes.push(qemu)
  return qemu
}

/** The block is still what its header says, but its last byte. */
function damage(image: string, block: number): void {
  const file = openSync(image, 'r+')
  writeSync(file, Buffer.from([1]), 0, 1, block * 4096 + 4095)
  closeSync(file)
}

it('writes and checks images on this machine', () => {
  writeGuestDisk(path('disk'), DISK_BYTES)
  expect(statSync(path('disk')).size).toBe(DISK_BYTES)
  expect(allocatedBytes(path('disk'))).toBe(DISK_BYTES * 0.75)
  const good = verifyGuestDisk(path('disk'))
  expect([good.bad, good.errors, good.reads]).toEqual([0, 0, 64])
  writeGuestDisk(path('other'), DISK_BYTES, 7)
  expect(verifyGuestDisk(path('other')).digest).not.toBe(good.digest)
  damage(path('disk'), 800)
  expect(verifyGuestDisk(path('disk')).bad).toBe(1)
})

it('reads, writes and checks its disk, reports, and powers off at the press of a button', async () => {
  writeGuestDisk(path('disk'), DISK_BYTES)
  const { digest } = verifyGuestDisk(path('disk'))
  const qemu = startGuest(path('disk'))
  const guest = await GuestConsole.connect(path('console'))
  expect(guest.sizeBytes).toBe(DISK_BYTES)
  expect(await guest.verify()).toMatchObject({ command: 'verify', bad: 0, errors: 0, reads: 64, writes: 0, digest })

  const wrote = await guest.write(1000, 600, 42)
  expect(wrote).toMatchObject({ writes: 3, flushes: 1, errors: 0 })
  expect(await guest.check(1000, 600, 42)).toMatchObject({ bad: 0, reads: 3 })
  expect(await guest.check(999, 602, 42)).toMatchObject({ bad: 2 })
  expect(guest.lines.filter((line) => line.startsWith('{"bad":'))).toHaveLength(2)
  await expect(guest.check(0, BLOCK_COUNT + 1, 0)).rejects.toThrow('was refused: the disk is smaller')
  await expect(guest.run({ threadCount: 17 })).rejects.toThrow('at most 16 threads')

  // What was asked of blocks 999 and 1600 stays what is expected of them.
  const { bad } = await guest.nextReport()
  expect(bad).toBe(2)
  expect((await guest.verify()).bad).toBe(2)
  await guest.write(999, 1, 43)
  await guest.write(1600, 1, 43)
  const run = guest.run({ threadCount: 3, writePercent: 50 })
  const busy = await guest.nextReport(({ reads, writes, flushes }) => reads > 0 && writes > 0 && flushes > 0)
  expect(busy).toMatchObject({ bad: 4, errors: 0 })
  expect(Math.min(busy.worstReadUs, busy.worstWriteUs, busy.worstFlushUs)).toBeGreaterThan(0)
  guest.stop()
  expect(await run).toMatchObject({ bad: 0, errors: 0 })
  const verified = await guest.verify()
  expect(verified.bad).toBe(0)
  expect(verified.digest).not.toBe(digest)

  // In the middle of a run: what was written is on the disk.
  const interrupted = guest.run({ opsPerSec: 300, writePercent: 0 })
  await guest.nextReport(({ reads }) => reads > 0)
  const button = await QmpClient.connect(path('qmp'))
  await powerDownGuest(button)
  expect(await interrupted).toMatchObject({ writes: 0, bad: 0, errors: 0 })
  if (qemu.exitCode === null) await once(qemu, 'exit')
  expect(qemu.exitCode).toBe(0)
  await guest.closed
  expect(verifyGuestDisk(path('disk')).digest).toBe(verified.digest)
  await expect(guest.verify()).rejects.toThrow('its console is closed')
})

it('notices what changes behind its back, and goes on', async () => {
  writeGuestDisk(path('disk'), DISK_BYTES)
  copyFileSync(path('disk'), path('copy'))
  startGuest(path('disk'))
  const guest = await GuestConsole.connect(path('console'))
  await guest.write(0, BLOCK_COUNT, 1)
  // Blocks of before are whole, but old.
  runCommand('dd', ['if=' + path('copy'), 'of=' + path('disk'), 'bs=4096', 'count=10', 'conv=notrunc', 'status=none'])
  damage(path('disk'), 5000)
  expect((await guest.verify()).bad).toBe(11)
  const { reads, bad } = await guest.run({ seconds: 1, writePercent: 0 })
  expect(reads).toBeGreaterThan(bad)
  guest.powerOff()
  await guest.closed
})

it('takes commands from the kernel, for a console that is a file', async () => {
  writeGuestDisk(path('disk'), DISK_BYTES)
  const commands =
    'guest.command=write,0,64,9 guest.command=check,0,64,9 guest.command=nonsense guest.command=run,1,1,100,50'
  const qemu = startGuest(path('disk'), { commands, serial: `file:${path('log')}` })
  const button = await QmpClient.connect(path('qmp'), { patienceMs: 30_000 })
  const log = (): string => runCommand('cat', [path('log')])
  await expect.poll(log, { timeout: 60_000 }).toContain('"command":"run 1 1 100 50"')
  expect(log()).toContain('{"refused":"nonsense","reason":"there is no such command"}')
  expect(log()).toMatch(/"done":\{"command":"check 0 64 9",.*"bad":0,"errors":0/)
  await powerDownGuest(button)
  if (qemu.exitCode === null) await once(qemu, 'exit')
  expect(log()).toContain('{"poweroff":"button"}')
  expect(verifyGuestDisk(path('disk')).bad).toBe(0)
})
