// That a commit is read back: a byte that was written wrong is found, wherever it is.

import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { connect, createServer, type Server } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { afterEach, describe, expect, it } from 'vitest'
import { runStep } from '../../src/deployer/index.ts'
import { forEach } from '../../src/deployer/extents.ts'
import { BITMAP } from '../../src/deployer/host/block-graph.ts'
import { NbdClient } from '../../src/deployer/host/nbd-client.ts'
import type { BlockNodeOptions } from '../../src/qmp/index.ts'
import { expectFailure } from '../unit/io/expect-failure.ts'
import { useTemporaryFolder } from '../unit/io/temporary-folder.ts'
import { useProcesses } from './own-processes.ts'

const MIB = 1024 * 1024
const DISK_BYTES = 200 * MIB
const CLUSTER_BYTES = 64 * 1024

const path = useTemporaryFolder()
const processes = useProcesses()

let proxy: Server | undefined
afterEach(() => proxy?.close())

/** Overlay with data at the start, the end and between, more than is read back at once, and zeros over data of the base. */
const WRITES: readonly string[] = [
  'write -P 1 0 64k',
  'write -P 2 4M 90M',
  'write -z -u 120M 2M',
  'write -P 3 130M 100k',
  `write -P 4 ${DISK_BYTES - 4096} 4096`,
]

/** Of a larger disk, every other cluster. */
const SCATTERED_COUNT = 40_000

describe('a commit', { timeout: 120_000 }, () => {
  it('writes however many scattered changes there are', async () => {
    await prepare({ sizeBytes: 2 * SCATTERED_COUNT * CLUSTER_BYTES, isFilled: false, change: changeScattered })
    const committedBytes = SCATTERED_COUNT * CLUSTER_BYTES
    expect(await commitOnce()).toMatchObject({ by: 'bitmap', committedBytes })
    execFileSync('qemu-img', ['compare', '-q', '-F', 'raw', path('vms/c/vm/overlay.qcow2'), path('image.raw')])
  })

  it('writes the changes and nothing else, and is read back', async () => {
    await prepare()
    const report = await commitOnce()
    expect(report).toMatchObject({ by: 'bitmap', committedBytes: 64 * 1024 + 92 * MIB + 128 * 1024 + 64 * 1024 })
    execFileSync('qemu-img', ['compare', '-q', '-F', 'raw', path('vms/c/vm/overlay.qcow2'), path('image.raw')])
  })

  it('under a cap ends at once when it is to', async () => {
    await prepare()
    const stop = new AbortController()
    const failed = commitOnce(12_500, stop.signal).then(String, String)
    await delay(1500)
    stop.abort(new Error('enough'))
    expect(await failed).toContain('enough')
    expect(readdirSync(path('vms/c/vm')).filter((name) => name.startsWith('d-'))).toEqual([])
  })

  it.each([0, 65_535, 50 * MIB + 17, 94 * MIB - 1, 122 * MIB - 1, 130 * MIB + 100 * 1024 - 1, DISK_BYTES - 1])(
    'fails when byte %d of the storage is not what was written',
    async (wrongAt) => {
      await prepare({ wrongAt })
      const failed = commitOnce()
      await expectFailure(failed, 'COMMIT_FAILED', 'cannot commit vm: what the storage has from ')
      const text = await failed.then(String, String)
      const [, from, to] = /from (\d+) to (\d+) is not what was written/.exec(text) ?? []
      expect(Number(from)).toBeLessThanOrEqual(wrongAt)
      expect(Number(to)).toBeGreaterThan(wrongAt)
    },
  )
})

interface Scene {
  readonly sizeBytes?: number
  /** Whether there is data all over the base, and over the image. */
  readonly isFilled?: boolean
  /** What changes the overlay. */
  readonly change?: (overlay: string) => void | Promise<void>
  /** Offset of a byte that reaches the storage with a bit changed. */
  readonly wrongAt?: number
}

async function prepare(scene: Scene = {}): Promise<void> {
  const { sizeBytes = DISK_BYTES, isFilled = true, change = changeSome, wrongAt } = scene
  mkdirSync(path('vms/c/vm'), { recursive: true })
  mkdirSync(path('bases'))
  const [base, image, overlay] = [path('bases/base.raw'), path('image.raw'), path('vms/c/vm/overlay.qcow2')]
  for (const raw of [base, image]) {
    execFileSync('qemu-img', ['create', '-q', '-f', 'raw', raw, `${sizeBytes}`])
    if (isFilled) execFileSync('qemu-io', ['-f', 'raw', '-c', `write -q -P 9 0 ${sizeBytes}`, raw])
  }
  execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', '-F', 'raw', '-b', base, overlay])
  execFileSync('qemu-img', ['bitmap', '--add', '-g', '65536', '-f', 'qcow2', overlay, BITMAP])
  await change(overlay)
  const { ino, ctimeNs } = statSync(base, { bigint: true })
  const identity = { key: 'base', identity: 'base', sizeBytes }
  const record = { ...identity, rootDigest: '', inode: String(ino), changedNs: String(ctimeNs) }
  writeFileSync(path('bases/base.json'), JSON.stringify(record))
  const made = { image: 'made', template: identity.identity, generation: 0 }
  const journal = { ...made, sizeBytes, base: 'local', localPath: base }
  writeFileSync(path('vms/c/vm/vm.json'), JSON.stringify(journal))
  processes.push(spawn('qemu-nbd', ['-f', 'raw', '-x', 'image', '-t', '-e', '8', '-k', path('nbd'), image]))
  while (!existsSync(path('nbd'))) await delay(20)
  await listen(wrongAt)
}

function changeSome(overlay: string): void {
  execFileSync('qemu-io', [...WRITES.flatMap((text) => ['-c', text]), overlay])
}

/** Most of it with zeros, which take no time; many at once, as one after the other they would take long. */
async function changeScattered(overlay: string): Promise<void> {
  const socket = path('overlay-nbd')
  const server = spawn('qemu-nbd', ['-f', 'qcow2', '-x', 'overlay', '-t', '-k', socket, overlay])
  processes.push(server)
  while (!existsSync(socket)) await delay(20)
  const client = await NbdClient.connect({ path: socket }, 'overlay', 60_000)
  await forEach(Array(SCATTERED_COUNT).keys(), 32, async (index) => {
    const offset = 2 * index * CLUSTER_BYTES
    if (index % 100 === 0) await client.write(offset + 512, Buffer.alloc(512, 7))
    else await client.zero(offset, CLUSTER_BYTES)
  })
  await client.close()
  server.kill()
  await once(server, 'exit')
}

async function commitOnce(bytesPerSec = 0, signal = new AbortController().signal): Promise<unknown> {
  const target: BlockNodeOptions = { driver: 'nbd', server: { type: 'unix', path: path('proxy') }, export: 'image' }
  const base = { key: 'base', identity: 'base', sizeBytes: statSync(path('bases/base.raw')).size }
  return runStep(
    {
      ...{ step: 'commit', folder: path(), cluster: 'c', vm: 'vm', image: 'made', generation: 1, base, bytesPerSec },
      ...{ remote: target, target },
    },
    { signal, onProgress: () => undefined },
  )
}

/** A way to the storage that changes one byte of what is written. */
async function listen(wrongAt: number | undefined): Promise<void> {
  proxy = createServer((client) => {
    const server = connect(path('nbd'))
    const requests = new Requests(wrongAt)
    client.on('data', (bytes) => server.write(requests.pass(bytes)))
    server.on('data', (bytes) => client.write(bytes))
    for (const [one, other] of [
      [client, server],
      [server, client],
    ] as const)
      one.on('close', () => other.destroy()).on('error', () => other.destroy())
  })
  const listening = proxy
  await new Promise<void>((resolve) => listening.listen(path('proxy'), resolve))
}

/** Follows what a client of NBD sends. Source: doc/proto.md of github.com/NetworkBlockDevice/nbd. */
class Requests {
  readonly #wrongAt: number | undefined
  #held = Buffer.alloc(0)
  /** Bytes to pass before the next header, and where in the image the next of them goes. */
  #bodyBytes = 4
  #bodyOffset: number | undefined
  #isNegotiating = true

  constructor(wrongAt: number | undefined) {
    this.#wrongAt = wrongAt
  }

  pass(chunk: Buffer): Buffer {
    const bytes = Buffer.concat([this.#held, chunk])
    let at = 0
    for (;;) {
      const lengthBytes = Math.min(this.#bodyBytes, bytes.length - at)
      if (this.#bodyOffset !== undefined) {
        const wrong = (this.#wrongAt ?? -1) - this.#bodyOffset
        if (wrong >= 0 && wrong < lengthBytes) bytes[at + wrong]! ^= 0x10
        this.#bodyOffset += lengthBytes
      }
      at += lengthBytes
      this.#bodyBytes -= lengthBytes
      const headerBytes = this.#isNegotiating ? 16 : 28
      if (this.#bodyBytes > 0 || bytes.length - at < headerBytes) break
      this.#readHeader(bytes.subarray(at, at + headerBytes))
      at += headerBytes
    }
    this.#held = Buffer.from(bytes.subarray(at))
    return bytes.subarray(0, at)
  }

  #readHeader(header: Buffer): void {
    this.#bodyOffset = undefined
    if (this.#isNegotiating) {
      this.#bodyBytes = header.readUInt32BE(12)
      this.#isNegotiating = header.readUInt32BE(8) !== 7 // NBD_OPT_GO
    } else if (header.readUInt16BE(6) === 1) {
      this.#bodyBytes = header.readUInt32BE(24)
      this.#bodyOffset = Number(header.readBigUInt64BE(16))
    } else if (header.readUInt16BE(6) === 6) {
      // Zeros have no bytes: they end before that one.
      const room = (this.#wrongAt ?? Infinity) - Number(header.readBigUInt64BE(16))
      if (room > 0 && room < header.readUInt32BE(24)) header.writeUInt32BE(room - (room % 512), 24)
    }
  }
}
