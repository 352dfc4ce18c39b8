import { createSocket, type RemoteInfo } from 'node:dgram'
import { once } from 'node:events'
import { closeSync, ftruncateSync, openSync, readFileSync, statSync, writeFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import type * as skilfish from '../../src/index.ts'
import { encodeControl, imageTagAt, sessionAt, type ControlMessage } from '../../src/protocol/index.ts'
import { seededRandom } from '../../src/random.ts'
import { DIST, loopback, messages, start, useFolder } from './programs.ts'

const KIB = 1024
const MIB = 1024 * 1024

const at = useFolder()

function noise(seed: number, bytes: number): Buffer {
  const random = seededRandom(seed)
  return Buffer.from(Uint8Array.from({ length: bytes }, () => Math.floor(random() * 256)))
}

/** A sparse file: `pieces` are offsets and bytes. */
function writeSparse(
  path: string,
  sizeBytes: number,
  pieces: readonly (readonly [offset: number, bytes: Buffer])[],
): void {
  const fd = openSync(path, 'w')
  ftruncateSync(fd, sizeBytes)
  for (const [offset, bytes] of pieces) writeSync(fd, bytes, 0, bytes.length, offset)
  closeSync(fd)
}

const isSame = (left: string, right: string): boolean => readFileSync(left).equals(readFileSync(right))

/** Sends `source` to so many receivers; resolves with the sender's result and the copies' paths, all of them proven to end well. */
async function copy(
  source: string,
  options: { receivers?: number; send?: readonly string[]; drop?: number } = {},
): Promise<{ result: Record<string, unknown>; copies: string[] }> {
  const { receivers: count = 1, send = [], drop = 0 } = options
  const network = loopback()
  const copies = Array.from({ length: count }, (_, index) => at(`copy-${index}`))
  const env = { ...process.env, SKILFISH_DROP: String(drop) }
  const receivers = copies.map((path) => start('recv', [...network, '--json', path], { env }))
  const sender = start('send', [...network, '--json', '--min-receivers', String(count), ...send, source])
  const [sent, ...received] = await Promise.all([sender.ended, ...receivers.map(({ ended }) => ended)])
  expect(sent).toMatchObject({ status: 0, stderr: '' })
  const [result] = messages(sent.stdout, 'result')
  for (const each of received) {
    expect(each).toMatchObject({ status: 0, stderr: '' })
    expect(messages(each.stdout, 'result')).toMatchObject([{ rootDigest: result?.['rootDigest'] }])
  }
  return { result: result ?? {}, copies }
}

describe('an image arrives as it was', () => {
  it.each([0, 1, 511, 4097, 3 * MIB + 5])('with %d bytes', async (bytes) => {
    writeFileSync(at('image'), noise(bytes, bytes))
    const { result, copies } = await copy(at('image'))
    expect(isSame(at('image'), copies[0]!)).toBe(true)
    expect(result).toMatchObject({ imageBytes: bytes })
  })

  it('with holes, which are not sent and stay holes', async () => {
    const pieces = [0, 5 * MIB + 4096, 63 * MIB + 7].map((offset) => [offset, noise(offset, 100 * KIB)] as const)
    writeSparse(at('image'), 64 * MIB, pieces)
    const { result, copies } = await copy(at('image'))
    expect(isSame(at('image'), copies[0]!)).toBe(true)
    expect(statSync(copies[0]!).blocks * 512).toBeLessThan(MIB)
    expect(result['dataBytes']).toBeLessThan(MIB)
    expect(result['holeBytes']).toBe(64 * MIB - (result['dataBytes'] as number))
    expect((result['stats'] as { wireBytes: number }).wireBytes).toBeLessThan(MIB)
  })

  it('with nothing but holes', async () => {
    writeSparse(at('image'), 64 * MIB, [])
    const { result, copies } = await copy(at('image'))
    expect(isSame(at('image'), copies[0]!)).toBe(true)
    // The page that held the mark of an incomplete target is all that it takes.
    expect(statSync(copies[0]!).blocks * 512).toBeLessThanOrEqual(4096)
    expect(result).toMatchObject({ dataBytes: 0, sliceCount: 0 })
  })

  it('over an existing target, whose old bytes do not survive', async () => {
    writeSparse(at('image'), 2 * MIB, [[MIB, noise(1, 64 * KIB)]])
    writeFileSync(at('copy-0'), noise(2, 3 * MIB))
    const { copies } = await copy(at('image'))
    expect(isSame(at('image'), copies[0]!)).toBe(true)
  })

  it('also when somebody tries to receive it over itself', async () => {
    const image = noise(13, MIB)
    writeFileSync(at('image'), image)
    const network = loopback()
    const sender = start('send', [...network, '--min-receivers', '1', at('image')])
    await sender.says('session')
    const mistaken = start('recv', [...network, at('image')])
    expect(await mistaken.ended).toMatchObject({ status: 5, stderr: expect.stringContaining('being sent') as string })
    const receiver = start('recv', [...network, at('copy')])
    for (const program of [sender, receiver]) expect(await program.ended).toMatchObject({ status: 0 })
    for (const name of ['image', 'copy']) expect(readFileSync(at(name)).equals(image)).toBe(true)
  })

  it('to three receivers at once, while each of them loses packets', async () => {
    writeFileSync(at('image'), noise(3, 4 * MIB))
    const { result, copies } = await copy(at('image'), { receivers: 3, drop: 0.05 })
    expect(copies.map((path) => isSame(at('image'), path))).toEqual([true, true, true])
    const receivers = result['receivers'] as { state: string; settledCount: number }[]
    // All is done whatever the last report said.
    const all = { state: 'done', settledCount: result['sliceCount'] }
    expect(receivers).toMatchObject([all, all, all])
    expect((result['stats'] as Record<string, number>)['paritySymbols']).toBeGreaterThan(100)
  })

  it.each([
    ['without compression', ['--compress', 'none']],
    ['with parity beforehand', ['--fec', '10']],
    ['with large packets and slices', ['--mtu', '9000', '--slice-size', '1M']],
    ['with small packets', ['--mtu', '576']],
    ['without offload', ['--no-offload']],
    ['at a capped rate', ['--max-bitrate', '40M']],
  ])('%s', async (_label, send) => {
    writeFileSync(at('image'), noise(4, MIB + 77))
    const { copies } = await copy(at('image'), { send })
    expect(isSame(at('image'), copies[0]!)).toBe(true)
  })
})

describe('a pipe', () => {
  it('is sent, and received in order with its holes filled in', async () => {
    const image = Buffer.concat([noise(6, MIB), Buffer.alloc(MIB), noise(7, 300_001)])
    const network = loopback()
    const receiver = start('recv', [...network, '-'])
    const sender = start('send', [...network, '-'])
    sender.process.stdin?.end(image)
    expect(await sender.ended).toMatchObject({ status: 0 })
    const { status, stdout, stderr } = await receiver.ended
    expect(status).toBe(0)
    expect(stdout.equals(image)).toBe(true)
    expect(stderr).toContain('complete, verified and written')
  })

  it('has its JSON on standard error where standard output is the target', async () => {
    writeFileSync(at('image'), noise(8, 70_000))
    const network = loopback()
    const receiver = start('recv', [...network, '--json', '-'])
    const sender = start('send', [...network, at('image')])
    await sender.ended
    const { stdout, stderr } = await receiver.ended
    expect(stdout.equals(readFileSync(at('image')))).toBe(true)
    expect(messages(stderr, 'result')).toMatchObject([{ imageBytes: 70_000 }])
  })

  it('is kept in a spool, which is gone at the end', async () => {
    const image = noise(9, 2 * MIB)
    const network = loopback()
    const receiver = start('recv', [...network, at('copy')], { env: { ...process.env, SKILFISH_DROP: '0.1' } })
    const sender = start('send', [...network, '--spool', at('spool'), '-'])
    sender.process.stdin?.end(image)
    expect(await sender.ended).toMatchObject({ status: 0 })
    expect(await receiver.ended).toMatchObject({ status: 0 })
    expect(readFileSync(at('copy')).equals(image)).toBe(true)
    expect(() => statSync(at('spool'))).toThrow('ENOENT')
  })
})

describe('receivers', () => {
  it('get all of it when they come in the middle', async () => {
    writeFileSync(at('image'), noise(10, 4 * MIB))
    const network = loopback()
    const sender = start('send', [...network, '--compress', 'none', '--max-bitrate', '4M', '--json', at('image')])
    const first = start('recv', [...network, '--name', 'first', at('copy-1')])
    await sender.says('"percent":5')
    const late = start('recv', [...network, '--name', 'late', '--json', at('copy-2')])
    await late.says('"progress"')
    for (let doublings = 0; doublings < 5; doublings++) sender.process.kill('SIGUSR1')
    for (const program of [sender, first, late]) expect(await program.ended).toMatchObject({ status: 0 })
    expect(isSame(at('image'), at('copy-1'))).toBe(true)
    expect(isSame(at('image'), at('copy-2'))).toBe(true)
  })

  it('are named the same way when one asks for repairs before it has told its name', async () => {
    writeFileSync(at('image'), noise(11, MIB))
    const [interfaceOption, address, groupOption, group] = loopback() as [string, string, string, string]
    const sender = start('send', [interfaceOption, address, groupOption, group, at('image')])
    const socket = createSocket('udp4')
    const [groupAddress, port] = group.split(':') as [string, string]
    socket.bind(Number(port), groupAddress, () => socket.addMembership(groupAddress, address))
    const [announced, from] = (await once(socket, 'message')) as [Buffer, RemoteInfo]
    const say = (message: ControlMessage): void =>
      socket.send(encodeControl(message, sessionAt(announced, 0), imageTagAt(announced, 0)), from.port, from.address)
    const receiver = { high: 1, low: 2 }
    say({ kind: 'nack', receiver, deficits: [], missing: [{ first: 0, count: 1 }] })
    await sender.says('receiver 0000000100000002 (127.0.0.1) joined\n')
    say({ kind: 'join', receiver, name: 'late' })
    say({ kind: 'leave', receiver, name: 'late', reason: 'it was only a test' })
    await sender.says('receiver late (127.0.0.1, joined as 0000000100000002) left: it was only a test')
    socket.close()
    // It waits for others.
    sender.process.kill('SIGINT')
    expect(await sender.ended).toMatchObject({ status: 130 })
  })

  it('take the image that they were told to, and no other', async () => {
    const network = loopback()
    for (const name of ['red', 'blue']) writeFileSync(at(name), noise(name.length, MIB))
    const receivers = ['red', 'blue'].map((name) => start('recv', [...network, '--image-id', name, at(`${name}-copy`)]))
    const senders = ['blue', 'red'].map((name) => start('send', [...network, '--image-id', name, at(name)]))
    for (const program of [...receivers, ...senders]) expect(await program.ended).toMatchObject({ status: 0 })
    expect(isSame(at('red'), at('red-copy'))).toBe(true)
    expect(isSame(at('blue'), at('blue-copy'))).toBe(true)
  })
})

describe('the library', () => {
  it('sends what a caller yields, and hands it to a sink of the caller', async () => {
    const { send, receive } = (await import(join(DIST, 'index.js'))) as typeof skilfish
    const [, networkInterface, , group] = loopback() as [string, string, string, string]
    const common = { interface: networkInterface, group }
    const pieces = [
      { offset: 4096, data: noise(11, 10_000) },
      { offset: 2 * MIB, data: noise(12, 4096) },
      { offset: 3 * MIB, zeroBytes: 4096 },
    ]
    const source = {
      label: 'made up',
      extents: async function* () {
        for (const piece of pieces) yield await Promise.resolve(piece)
      },
    }
    const got = Buffer.alloc(3 * MIB + 4096, 0xff)
    const calls: string[] = []
    const sink = {
      label: 'memory',
      isSequential: false,
      open: () => Promise.resolve(void calls.push('open')),
      write: (offset: number, bytes: Uint8Array) => {
        got.set(bytes, offset)
        return Promise.resolve()
      },
      zero: (offset: number, lengthBytes: number) => Promise.resolve(void got.fill(0, offset, offset + lengthBytes)),
      finish: (sizeBytes: number) => Promise.resolve(void calls.push(`finish ${sizeBytes}`)),
      abort: () => Promise.resolve(void calls.push('abort')),
    }
    const receiving = receive({ ...common, target: sink })
    const sending = send({ ...common, source })
    const [sent, received] = await Promise.all([sending.finished, receiving.finished])
    expect(received.rootDigest).toBe(sent.rootDigest)
    const wanted = Buffer.alloc(got.length)
    for (const piece of pieces) if ('data' in piece) wanted.set(piece.data, piece.offset)
    expect(got.equals(wanted)).toBe(true)
    expect(calls).toEqual(['open', `finish ${got.length}`])
  })
})
