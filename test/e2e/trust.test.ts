import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'
import { chmodSync, readFileSync, writeFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import {
  encodeControl,
  encodeDataFieldsInto,
  frameBytesAt,
  imageTag,
  PacketType,
  packetTypeAt,
  sessionAt,
  sliceIndexAt,
  symbolIndexAt,
} from '../../src/protocol/index.ts'
import { seededRandom } from '../../src/random.ts'
import { createKeyText, createSigningTexts } from '../../src/trust/index.ts'
import { loopback, messages, start, useFolder, type Ended } from './programs.ts'

const MIB = 1024 * 1024

const at = useFolder()

/** Bytes that are found again when they are sent as they are: a phrase, and noise. */
const PHRASE = 'no stranger shall read this phrase '
function writeImage(bytes: number): void {
  const random = seededRandom(bytes)
  const image = Buffer.from(Uint8Array.from({ length: bytes }, () => Math.floor(random() * 256)))
  for (let offset = 0; offset + 64 < bytes; offset += 4096) image.write(PHRASE, offset)
  writeFileSync(at('image'), image)
}

const hasImage = (copy: string): boolean => readFileSync(at('image')).equals(readFileSync(at(copy)))

/** Key files: of the group, of another group, and two pairs to sign with. */
function writeKeys(): void {
  const options = { mode: 0o600 }
  writeFileSync(at('group.key'), createKeyText(), options)
  writeFileSync(at('other.key'), createKeyText(), options)
  for (const name of ['golden', 'false']) {
    const { privateText, publicText } = createSigningTexts()
    writeFileSync(at(`${name}.key`), privateText, options)
    writeFileSync(at(`${name}.pub`), publicText)
  }
}

/** Options that name files of the test's folder. */
const named = (options: string): string[] =>
  options === '' ? [] : options.split(' ').map((word) => (/\.(key|pub)$/.test(word) ? at(word) : word))

async function transfer(sendOptions: string, receiveOptions: string): Promise<{ sent: Ended; received: Ended }> {
  const network = loopback()
  const receiver = start('recv', [...network, '--json', ...named(receiveOptions), at('copy')])
  // A receiver that does not fit goes away, and then nobody comes.
  const sender = start('send', [...network, '--json', '--start-timeout', '4', ...named(sendOptions), at('image')])
  const [sent, received] = await Promise.all([sender.ended, receiver.ended])
  return { sent, received }
}

const errorOf = (ended: Ended): unknown => messages(ended.stdout, 'error')[0]?.['code']

/** A stranger on the network: hears all that goes to the group, and sends to it from an address of its own. */
class Stranger {
  readonly heard: Buffer[] = []
  readonly #socket: Socket = createSocket({ type: 'udp4', reuseAddr: true })
  readonly #group: string
  readonly #port: number

  constructor(network: readonly string[]) {
    const [group, port] = network[3]!.split(':')
    this.#group = group!
    this.#port = Number(port)
  }

  async listen(onPacket: (packet: Buffer) => void = () => undefined): Promise<void> {
    this.#socket.on('message', (packet) => {
      this.heard.push(packet)
      onPacket(packet)
    })
    this.#socket.bind({ address: this.#group, port: this.#port })
    await once(this.#socket, 'listening')
    this.#socket.setRecvBufferSize(8 * MIB)
    this.#socket.addMembership(this.#group, '127.0.0.1')
    this.#socket.setMulticastInterface('127.0.0.1')
    this.#socket.setMulticastLoopback(true)
  }

  send(packet: Uint8Array): void {
    this.#socket.send(packet, this.#port, this.#group)
  }

  close(): void {
    this.#socket.close()
  }
}

describe('an image arrives as it was', () => {
  it.each([
    ['with a group key', '--key-file group.key', '--key-file group.key'],
    ['with a signature', '--sign-key golden.key', '--verify-key golden.pub'],
    ['with both', '--key-file group.key --sign-key golden.key', '--key-file group.key --verify-key golden.pub'],
    ['with a signature that nobody looks at', '--sign-key golden.key', ''],
  ])('%s', async (_how, send, receive) => {
    writeKeys()
    writeImage(3 * MIB + 5)
    const { sent, received } = await transfer(send, receive)
    expect([sent.status, received.status]).toEqual([0, 0])
    expect(hasImage('copy')).toBe(true)
    const [result] = messages(received.stdout, 'result')
    expect(result).toMatchObject({ rootDigest: messages(sent.stdout, 'result')[0]?.['rootDigest'] })
  })

  it('from a pipe, through a spool, encrypted, to a receiver that comes late', async () => {
    writeKeys()
    writeImage(2 * MIB)
    const network = loopback()
    const keys = named('--key-file group.key --sign-key golden.key')
    const limits = ['--min-receivers', '0', '--max-bitrate', '4M']
    const sender = start('send', [...network, ...keys, ...limits, '--spool', at('spool'), '-'])
    sender.process.stdin?.end(readFileSync(at('image')))
    await sender.says('sending')
    const receiver = start('recv', [...network, ...named('--key-file group.key'), at('copy')])
    expect((await receiver.ended).status).toBe(0)
    expect((await sender.ended).status).toBe(0)
    expect(hasImage('copy')).toBe(true)
  })

  it('when its sender dies and is started again: the receiver takes the new session, and no other', async () => {
    writeKeys()
    writeImage(4 * MIB)
    const network = loopback()
    const keys = named('--key-file group.key --sign-key golden.key')
    const receiver = start('recv', [...network, ...named('--key-file group.key --verify-key golden.pub'), at('copy')])
    const first = start('send', [...network, ...keys, '--max-bitrate', '10M', at('image')])
    await receiver.says('receiving')
    first.process.kill('SIGKILL')
    await first.ended
    const second = start('send', [...network, ...keys, at('image')])
    await receiver.says('takes its place')
    expect((await second.ended).status).toBe(0)
    expect((await receiver.ended).status).toBe(0)
    expect(hasImage('copy')).toBe(true)
  })
})

describe('a receiver refuses, by name', () => {
  it.each([
    ['a wrong key', '--key-file group.key', '--key-file other.key', 'KEY_REFUSED'],
    ['a keyed session without a key', '--key-file group.key', '', 'KEY_NEEDED'],
    ['a session without key when it has one', '', '--key-file group.key', 'SESSION_UNTRUSTED'],
    [
      'a session without signature when it verifies',
      '--key-file group.key',
      '--key-file group.key --verify-key golden.pub',
      'SESSION_UNTRUSTED',
    ],
    ['an open session when it verifies', '', '--verify-key golden.pub', 'SESSION_UNTRUSTED'],
    ['a wrong verify key', '--sign-key golden.key', '--verify-key false.pub', 'SIGNATURE_REFUSED'],
    [
      'a signer that only holds the group key',
      '--key-file group.key --sign-key false.key',
      '--key-file group.key --verify-key golden.pub',
      'SIGNATURE_REFUSED',
    ],
    ['another image', '--image-id debian-12', '--image-id debian-13', 'IMAGE_REFUSED'],
  ])('%s', async (_what, send, receive, code) => {
    writeKeys()
    writeImage(100_000)
    const { sent, received } = await transfer(send, receive)
    expect([received.status, errorOf(received)]).toEqual([8, code])
    expect([sent.status, errorOf(sent)]).toEqual([3, 'NO_RECEIVERS'])
    // Nothing was opened.
    expect(() => readFileSync(at('copy'))).toThrow('ENOENT')
  })
})

describe('a key file that cannot be used ends the program before anything is sent', () => {
  it.each(['send', 'recv'] as const)('%s', async (name) => {
    writeKeys()
    writeImage(1)
    const run = (key: string): Promise<Ended> =>
      start(name, [...loopback(), '--json', '--key-file', at(key), at(name === 'send' ? 'image' : 'copy')]).ended
    chmodSync(at('group.key'), 0o644)
    writeFileSync(at('bare.key'), '00'.repeat(32), { mode: 0o600 })
    const ended = await Promise.all(['group.key', 'none.key', 'bare.key'].map(run))
    expect(ended.map((each) => [each.status, errorOf(each)])).toEqual([
      [2, 'KEY_EXPOSED'],
      [2, 'KEY_UNREADABLE'],
      [2, 'KEY_INVALID'],
    ])
  })
})

describe('a stranger on the network', () => {
  it('reads nothing of an encrypted image', async () => {
    writeKeys()
    writeImage(MIB)
    const seen = async (...keys: readonly string[]): Promise<boolean> => {
      const network = loopback()
      const stranger = new Stranger(network)
      await stranger.listen()
      const receiver = start('recv', [...network, ...keys, at('copy')])
      const sender = start('send', [...network, ...keys, '--compress', 'none', at('image')])
      expect((await sender.ended).status).toBe(0)
      expect((await receiver.ended).status).toBe(0)
      stranger.close()
      expect(stranger.heard.length).toBeGreaterThan(700)
      return stranger.heard.some((packet) => packet.includes(PHRASE.slice(0, 16)))
    }
    expect(await seen()).toBe(true)
    expect(await seen(...named('--key-file group.key'))).toBe(false)
  })

  it('that forges symbols and words of the sender harms nothing', async () => {
    writeKeys()
    writeImage(8 * MIB)
    const network = loopback()
    const stranger = new Stranger(network)
    const random = seededRandom(1)
    let count = 0
    await stranger.listen((packet) => {
      if (packetTypeAt(packet, 0, packet.length) !== PacketType.data || symbolIndexAt(packet, 0) === 254) return
      if (++count % 10 !== 0) return
      const forged = packet.map((byte, index) => (index < 24 ? byte : Math.floor(random() * 256)))
      encodeDataFieldsInto(
        forged,
        0,
        sliceIndexAt(packet, 0) + (count % 3),
        frameBytesAt(packet, 0),
        symbolIndexAt(packet, 0),
      )
      stranger.send(forged)
      const abort = { kind: 'abort', reason: 'interrupted', text: 'forged' } as const
      stranger.send(encodeControl(abort, sessionAt(packet, 0), imageTag('image')))
    })
    const key = named('--key-file group.key')
    const receiver = start('recv', [...network, '--json', ...key, at('copy')])
    const sender = start('send', [...network, ...key, '--image-id', 'image', '--max-bitrate', '100M', at('image')])
    expect((await sender.ended).status).toBe(0)
    const received = await receiver.ended
    stranger.close()
    expect(received.status).toBe(0)
    expect(hasImage('copy')).toBe(true)
    const stats = messages(received.stdout, 'result')[0]?.['stats'] as { forgedPackets: number; rejectedSlices: number }
    expect(stats.forgedPackets).toBeGreaterThan(100)
    expect(stats.rejectedSlices).toBe(0)
  })

  it('that replays a recorded session is not believed', async () => {
    writeKeys()
    writeImage(MIB)
    const network = loopback()
    const key = named('--key-file group.key')
    const stranger = new Stranger(network)
    await stranger.listen()
    const ends = [start('recv', [...network, ...key, at('copy')]), start('send', [...network, ...key, at('image')])]
    for (const { ended } of ends) expect((await ended).status).toBe(0)
    const recording = [...stranger.heard]
    expect(recording.length).toBeGreaterThan(700)

    const victim = start('recv', [...network, '--json', ...key, '--start-timeout', '2', at('second')])
    await victim.says('waiting')
    const timer = setInterval(() => {
      for (const packet of recording) stranger.send(packet)
    }, 200)
    const ended = await victim.ended
    clearInterval(timer)
    stranger.close()
    expect([ended.status, errorOf(ended)]).toEqual([3, 'NO_SENDER'])
    expect(() => readFileSync(at('second'))).toThrow('ENOENT')
  })
})
