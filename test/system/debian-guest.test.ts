import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import type { Socket } from 'node:net'
import { beforeAll, expect, it } from 'vitest'
import { connectUnixSocket } from '../../src/io/unix-socket.ts'
import { powerDownGuest, QmpClient } from '../../src/qmp/index.ts'
import { missingPackages, runCommand } from '../lab/command.ts'
import { debianGuest } from '../lab/debian-guest.ts'
import { useTemporaryFolder } from '../unit/io/temporary-folder.ts'
import { useProcesses } from './own-processes.ts'

/** A system boots in ten seconds of an idle processor. */
const WAIT = { timeout: 240_000, interval: 100 }
const TEST_TIMEOUT_MS = 600_000

const missing = missingPackages({ 'qemu-system-x86': ['qemu-system-x86_64'], 'qemu-utils': ['qemu-img'] })
if (missing.length > 0) throw new Error(`These tests need: ${missing.join(', ')}`)

beforeAll(() => void debianGuest(), 900_000)

const path = useTemporaryFolder()
const processes = useProcesses()

/** Boots from an overlay. */
async function boot(): Promise<{
  readonly process: ChildProcess
  readonly console: Socket
  readonly said: () => string
}> {
  const { kernelPath, initrdPath, append, diskPath } = debianGuest()
  runCommand('qemu-img', ['create', '-q', '-f', 'qcow2', '-F', 'raw', '-b', diskPath, path('overlay')])
  const process = spawn(
    'qemu-system-x86_64',
    [
      ...['-accel', 'tcg,thread=multi', '-cpu', 'max', '-machine', 'q35', '-m', '512', '-nodefaults', '-no-reboot'],
      ...['-display', 'none', '-kernel', kernelPath, '-initrd', initrdPath, '-append', append],
      ...['-serial', `unix:${path('console')},server=on,wait=off`, '-qmp', `unix:${path('qmp')},server=on,wait=off`],
      ...['-drive', `if=none,id=disk,format=qcow2,file=${path('overlay')}`, '-device', 'virtio-blk-pci,drive=disk'],
    ],
    { stdio: ['ignore', 'ignore', 'inherit'] },
  )
  processes.push(process)
  const console = await connectUnixSocket(path('console'), 30_000)
  let text = ''
  console.setEncoding('utf8').on('data', (more) => (text += String(more)))
  return { process, console, said: () => text }
}

it(
  'boots to a login, runs fio on its disk, and powers off at the press of a button',
  async () => {
    const { process, console, said } = await boot()
    await expect.poll(said, WAIT).toContain('guest login: ')
    console.write('root\n')
    await expect.poll(said, WAIT).toMatch(/root@guest:~# $/)
    const job = 'fio --name=job --size=4M --bs=4k --rw=randwrite --direct=1 --verify=crc32c --output=report'
    // What is typed is repeated: it must not look like the answer.
    console.write(`${job}; echo "status" $?; grep -c 'err= 0' report\n`)
    await expect.poll(said, WAIT).toMatch(/^status 0\r?\n1\r?$/m)
    await powerDownGuest(await QmpClient.connect(path('qmp')))
    if (process.exitCode === null) await once(process, 'exit')
    expect(process.exitCode).toBe(0)
    runCommand('qemu-img', ['check', '-q', path('overlay')])
  },
  TEST_TIMEOUT_MS,
)
