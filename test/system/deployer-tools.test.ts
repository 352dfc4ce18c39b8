import { spawn } from 'node:child_process'
import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { isUsable, settleAccelerator } from '../../src/deployer/host/accelerator.ts'
import { NbdClient } from '../../src/deployer/host/nbd-client.ts'
import { expectFailure } from '../unit/io/expect-failure.ts'
import { useTemporaryFolder } from '../unit/io/temporary-folder.ts'
import { useProcesses } from './own-processes.ts'

const QEMU = 'qemu-system-x86_64'
const MIB = 1024 * 1024

const path = useTemporaryFolder()
const processes = useProcesses()

describe('the accelerator', () => {
  it('of software emulation passes the test boot, in its time but not in none', async () => {
    expect(await isUsable('tcg', QEMU, path(), 60_000)).toBe(true)
    expect(await isUsable('tcg', QEMU, path(), 1)).toBe(false)
  })

  it.each([0, 1])('of a QEMU that ends with status %d and runs no guest is not taken', async (status) => {
    const pretender = path('qemu')
    writeFileSync(pretender, `#!/bin/sh\nexit ${status}\n`)
    chmodSync(pretender, 0o755)
    expect(await settleAccelerator('auto', pretender, path())).toBe('tcg')
    expect(await settleAccelerator('kvm', pretender, path())).toBe('kvm')
  })

  it('of this machine is settled by what it does', async () => {
    const isWorking = await isUsable('kvm', QEMU, path())
    if (!existsSync('/dev/kvm')) expect(isWorking).toBe(false)
    expect(await settleAccelerator('auto', QEMU, path())).toBe(isWorking ? 'kvm' : 'tcg')
  })
})

describe.each([
  [
    'qemu-nbd',
    (image: string, socket: string): readonly string[] => [
      '-f',
      'raw',
      '-x',
      'disk',
      '-t',
      '-e',
      '4',
      '-k',
      socket,
      image,
    ],
  ],
  [
    'qemu-storage-daemon',
    (image: string, socket: string): readonly string[] => [
      ...['--blockdev', `driver=file,node-name=disk,filename=${image}`],
      ...['--nbd-server', `addr.type=unix,addr.path=${socket}`],
      ...['--export', 'type=nbd,id=disk,node-name=disk,name=disk,writable=on'],
    ],
  ],
])('%s', (program, args) => {
  const serve = async (): Promise<string> => {
    writeFileSync(path('image'), Buffer.alloc(8 * MIB, 1))
    const socket = path('socket')
    processes.push(spawn(program, args(path('image'), socket), { stdio: ['ignore', 'ignore', 'inherit'] }))
    await expect.poll(() => existsSync(socket), { timeout: 30_000 }).toBe(true)
    return socket
  }

  it('is read, written, zeroed and flushed', async () => {
    const client = await NbdClient.connect({ path: await serve() }, 'disk', 30_000)
    expect(client.sizeBytes).toBe(8 * MIB)
    const pieces = Array.from({ length: 32 }, (_, index) => index)
    await Promise.all(pieces.map((index) => client.write(index * 65536, Buffer.alloc(65536, 100 + index))))
    await client.zero(4 * MIB, MIB)
    await client.flush()
    const read = await Promise.all(pieces.map((index) => client.read(index * 65536, 65536)))
    for (const [index, bytes] of read.entries()) expect(bytes.equals(Buffer.alloc(65536, 100 + index))).toBe(true)
    await client.close()
    const wanted = Buffer.alloc(8 * MIB, 1)
    for (const index of pieces) wanted.fill(100 + index, index * 65536, (index + 1) * 65536)
    wanted.fill(0, 4 * MIB, 5 * MIB)
    expect(readFileSync(path('image')).equals(wanted)).toBe(true)
  })

  it('refuses an export that it does not have, and a read behind the end', async () => {
    const socket = await serve()
    await expectFailure(NbdClient.connect({ path: socket }, 'none', 30_000), 'NBD_FAILED', 'it refuses')
    const client = await NbdClient.connect({ path: socket }, 'disk', 30_000)
    await expectFailure(client.read(8 * MIB, 512), 'NBD_FAILED', 'it failed a request with error')
    expect(await client.read(0, 512)).toEqual(Buffer.alloc(512, 1))
    await client.close()
  })
})
