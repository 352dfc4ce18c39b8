import { createSecretKey, generateKeyPairSync } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import {
  ANNOUNCE_INTERVAL_US,
  decodeControl,
  encodeControl,
  encodeDataFieldsInto,
  encodePrefixInto,
  encodeSealed,
  imageTag,
  JOIN_WINDOW_US,
  MIN_SPREAD_US,
  openSealed,
  PacketType,
  packetTypeAt,
  planGeometry,
  type Announce,
  type ControlMessage,
  type Id64,
} from '../../../src/protocol/index.ts'
import {
  ReceiverMachine,
  type ReceiverEvent,
  type ReceiverMachineOptions,
} from '../../../src/receiver/machine/index.ts'
import { seededRandom } from '../../../src/random.ts'
import { ReceiverKeys, SenderKeys } from '../../../src/trust/index.ts'
import { HandSender, SENDER } from './hand.ts'

const groupKey = createSecretKey(Buffer.alloc(32, 1))
const signing = generateKeyPairSync('ed25519')
const GEOMETRY = planGeometry({ family: 4, mtuBytes: 576, sliceBytes: 16_384, isKeyed: true })
const FRAME_BYTES = 700

/** A protected session, spoken by hand. */
class Speaker {
  readonly session: Id64
  readonly #trust
  readonly #imageId: string
  #counter = 0

  constructor(low: number, keys = new SenderKeys(groupKey), imageId = 'image') {
    this.session = { high: 1, low }
    this.#imageId = imageId
    this.#trust = keys.open(this.session, imageId).trust!
  }

  say(message: ControlMessage): Uint8Array {
    return encodeSealed(message, this.session, imageTag(this.#imageId), ++this.#counter, this.#trust, this.#trust)
  }

  announce(change: Partial<Announce> = {}): Uint8Array {
    return this.say({
      ...{ kind: 'announce', imageId: this.#imageId, imageName: 'x', imageBytes: 1e6, codec: 0, phase: 'sending' },
      ...{ sliceBytes: GEOMETRY.sliceBytes, packetBytes: GEOMETRY.packetBytes, begunCount: 0, sentAtUs: 1 },
      ...{
        rateBitsPerSec: 0,
        feedback: { grttUs: 5000, groupCount: 1, reportIntervalMs: 100, receiverTimeoutMs: 5000, joinLimit: 65_536 },
      },
      ...change,
    })
  }

  data(symbol: number, slice = 0): Uint8Array {
    const packet = new Uint8Array(GEOMETRY.packetBytes).fill(symbol)
    encodePrefixInto(packet, 0, PacketType.data, this.session, imageTag(this.#imageId))
    encodeDataFieldsInto(packet, 0, slice, FRAME_BYTES, symbol)
    this.#trust.guard!.tagInto(packet, 0, packet.length)
    return packet
  }

  /** True for a Challenge to this session. */
  isAsked(packet: Uint8Array): boolean {
    return this.#nonceIn(packet) !== undefined
  }

  /** The nonce of a Challenge that a receiver sent. */
  nonceIn(packet: Uint8Array): Id64 {
    const nonce = this.#nonceIn(packet)
    if (nonce === undefined) throw new Error('this is no Challenge to the session')
    return nonce
  }

  #nonceIn(packet: Uint8Array): Id64 | undefined {
    const opened = openSealed(packet, 0, packet.length, { hasTag: this.#trust.hasTag! })
    return typeof opened === 'string' || opened.message.kind !== 'challenge' ? undefined : opened.message.nonce
  }
}

/** A receiver with keys. */
class Listener {
  nowUs = 1_000_000
  readonly machine: ReceiverMachine
  readonly events: ReceiverEvent[] = []
  readonly sent: Uint8Array[] = []

  constructor(options: Partial<ReceiverMachineOptions> = {}, keys = new ReceiverKeys(groupKey)) {
    this.machine = new ReceiverMachine(this.nowUs, {
      ...{ receiverId: { high: 7, low: 7 }, name: 'listener', random: seededRandom(5), codecs: [0] },
      ...{ decoder: { decode: () => undefined }, receiveTimeoutUs: 10_000_000, bufferSlices: 8, isSequential: false },
      ...(keys.trust && { trust: keys.trust }),
      ...options,
    })
  }

  hear(...packets: readonly Uint8Array[]): void {
    for (const packet of packets) {
      this.machine.handleDatagram(this.nowUs, SENDER, packet)
      this.#drain()
    }
  }

  pass(durationUs: number): void {
    this.nowUs += durationUs
    this.machine.handleTimeout(this.nowUs)
    this.#drain()
  }

  opened(): void {
    this.machine.handleCommand(this.nowUs, { kind: 'opened' })
    this.#drain()
  }

  /** Hears of a session, and waits until it has asked it. */
  ask(speaker: Speaker, change: Partial<Announce> = {}): void {
    this.hear(speaker.announce(change))
    this.pass(JOIN_WINDOW_US)
  }

  /** Hears of a session and lets it prove itself. */
  meet(speaker: Speaker): void {
    this.ask(speaker)
    const asked = this.sent.findLast((packet) => speaker.isAsked(packet))
    this.hear(speaker.say({ kind: 'proof', nonces: [speaker.nonceIn(asked!)] }))
  }

  get kinds(): string[] {
    return this.events.map(({ kind }) => kind)
  }

  #drain(): void {
    for (let event = this.machine.pollEvent(); event !== undefined; event = this.machine.pollEvent())
      this.events.push(event)
    const into = new Uint8Array(65_536)
    for (;;) {
      const transmit = this.machine.pollTransmit(this.nowUs, into)
      if (transmit === undefined) return
      this.sent.push(into.slice(0, transmit.bytes))
    }
  }
}

describe('a receiver with a key', () => {
  test('takes part once the session has repeated its nonce, and not before', () => {
    const [speaker, listener] = [new Speaker(1), new Listener()]
    listener.ask(speaker)
    expect(listener.kinds).toEqual([])
    expect(listener.sent).toHaveLength(1)
    listener.hear(speaker.say({ kind: 'proof', nonces: [{ high: 1, low: 1 }] }))
    expect(listener.kinds).toEqual([])
    listener.hear(speaker.say({ kind: 'proof', nonces: [{ high: 1, low: 1 }, speaker.nonceIn(listener.sent[0]!)] }))
    expect(listener.events).toMatchObject([
      { kind: 'session', mode: { isKeyed: true, isSigned: false }, geometry: GEOMETRY },
    ])
  })

  test('asks each session, and each time it seeks one, with another nonce', () => {
    const [one, other] = [new Speaker(1), new Speaker(2)]
    const nonces = [new Listener(), new Listener()].flatMap((listener) => {
      listener.ask(one)
      listener.hear(other.announce())
      return [one.nonceIn(listener.sent[0]!), other.nonceIn(listener.sent[1]!)]
    })
    expect(new Set(nonces.map(({ high, low }) => `${high} ${low}`)).size).toBe(4)
  })

  test('takes the session that proves itself, though another was announced since', () => {
    const [live, recorded, listener] = [new Speaker(1), new Speaker(2), new Listener()]
    listener.ask(live)
    listener.hear(recorded.announce())
    listener.hear(live.say({ kind: 'proof', nonces: [live.nonceIn(listener.sent[0]!)] }))
    expect(listener.kinds).toEqual([])
    listener.hear(live.announce())
    expect(listener.events).toMatchObject([{ kind: 'session', session: live.session }])
  })

  test('does not judge a session before it has proven itself: a recording must not end it', () => {
    const [speaker, listener] = [new Speaker(1), new Listener()]
    listener.ask(speaker, { codec: 2 })
    expect(listener.kinds).toEqual([])
    listener.hear(speaker.say({ kind: 'proof', nonces: [speaker.nonceIn(listener.sent[0]!)] }))
    expect(listener.events).toMatchObject([{ kind: 'failed', code: 'CODEC_REFUSED' }])
  })

  test('seals all that it says', () => {
    const [speaker, listener] = [new Speaker(1), new Listener()]
    listener.meet(speaker)
    listener.opened()
    listener.pass(500_000)
    listener.machine.handleCommand(listener.nowUs, { kind: 'leave', reason: 'over' })
    listener.pass(0)
    expect(listener.sent.length).toBeGreaterThan(3)
    for (const packet of listener.sent) expect(packetTypeAt(packet, 0, packet.length)).toBe(PacketType.sealed)
  })

  test('does not hear an open word, a repeated one, or one of another mode', () => {
    const [speaker, listener] = [new Speaker(1), new Listener()]
    listener.meet(speaker)
    listener.opened()
    const abort = { kind: 'abort', reason: 'interrupted', text: '' } as const
    const signed = new SenderKeys(groupKey, signing.privateKey).open(speaker.session, 'image').trust!
    listener.hear(encodeControl(abort, speaker.session, imageTag('image')))
    listener.hear(encodeSealed(abort, speaker.session, imageTag('image'), 99, signed, signed))
    const end = speaker.say({
      ...{ kind: 'end', sliceCount: 9, imageBytes: 1, dataBytes: 1, rootDigest: new Uint8Array(32), isClosing: false },
    })
    listener.hear(end, end, end)
    expect(listener.machine.stats()).toMatchObject({ forgedPackets: 4, slicesTotal: 9 })
    listener.hear(speaker.say(abort))
    expect(listener.kinds).toEqual(['session', 'failed'])
  })

  test('loses nothing to a stranger’s packets that the system has joined with the sender’s', () => {
    const [speaker, listener] = [new Speaker(1), new Listener()]
    listener.meet(speaker)
    listener.opened()
    const rubbish = new Uint8Array(GEOMETRY.packetBytes)
    const forged = speaker.data(0).with(100, 9)
    const liar = new Uint8Array(GEOMETRY.packetBytes)
    liar.set(encodeControl({ kind: 'join-ack', receivers: [] }, speaker.session, imageTag('image')))
    listener.hear(Buffer.concat([rubbish, forged, speaker.data(0), liar, speaker.data(1)]))
    expect(listener.kinds).toEqual(['session', 'slice'])
    expect(listener.machine.stats()).toMatchObject({ packets: 2, forgedPackets: 2 })
  })

  test('asks the sender that is started again, too, and goes on with it', () => {
    const [first, second, listener] = [new Speaker(1), new Speaker(2), new Listener()]
    listener.meet(first)
    listener.opened()
    listener.ask(second)
    expect(listener.sent.some((packet) => second.isAsked(packet))).toBe(false)
    listener.pass(2_000_001)
    listener.meet(second)
    expect(listener.events).toMatchObject([{ kind: 'session' }, { kind: 'adopted', session: second.session }])
    // What the first has proven does not count any more.
    listener.pass(2_000_001)
    listener.hear(first.announce(), first.announce())
    expect(listener.kinds).toEqual(['session', 'adopted'])
  })
})

describe('a sender that is started again otherwise protected', () => {
  const open = (low: number): HandSender => Object.assign(new HandSender([700]), { session: { high: 1, low } })
  const signed = (low: number): Speaker => new Speaker(low, new SenderKeys(undefined, signing.privateKey))

  test.each([
    ['signed, after an open one', open(1), signed(2)],
    ['open, after a signed one', signed(1), open(2)],
  ])('is not followed by a receiver without keys: %s', (_, first, second) => {
    const listener = new Listener({}, new ReceiverKeys())
    const { sliceBytes, packetBytes } = planGeometry({ family: 4, mtuBytes: 576, sliceBytes: 16_384 })
    listener.hear(first.announce({ sliceBytes, packetBytes }))
    listener.opened()
    listener.pass(2_000_001)
    listener.hear(second.announce({ sliceBytes, packetBytes }))
    expect(listener.kinds).toEqual(['session'])
    expect(listener.machine.stats()).toMatchObject({ foreignPackets: 1, forgedPackets: 0 })
    listener.pass(8_000_001)
    expect(listener.events.at(-1)).toMatchObject({ kind: 'failed', code: 'SENDER_LOST' })
  })

  test('is not asked by one with a key', () => {
    const listener = new Listener()
    listener.meet(new Speaker(1))
    listener.opened()
    listener.pass(2_000_001)
    const other = new Speaker(2, new SenderKeys(groupKey, signing.privateKey))
    listener.ask(other)
    expect(listener.sent.some((packet) => other.isAsked(packet))).toBe(false)
    expect(listener.kinds).toEqual(['session'])
  })
})

test('frames that wait for their turn when a sender of a keyed session is started again are forgotten: nothing opens them', () => {
  const [first, second, listener] = [new Speaker(1), new Speaker(2), new Listener({ isSequential: true })]
  const slices = (): number[] => listener.events.flatMap((event) => (event.kind === 'slice' ? [event.slice] : []))
  const whole = (speaker: Speaker, slice: number): Uint8Array[] => [speaker.data(0, slice), speaker.data(1, slice)]
  listener.meet(first)
  listener.opened()
  listener.hear(...whole(first, 0), ...whole(first, 2))
  listener.pass(2_000_001)
  listener.meet(second)
  listener.hear(...whole(second, 1))
  // What the driver has been given, it has opened.
  listener.machine.handleCommand(listener.nowUs, { kind: 'settled', slice: 0 })
  listener.pass(0)
  expect(slices()).toEqual([0, 1])
  listener.hear(...whole(second, 2))
  expect(slices()).toEqual([0, 1, 2])
})

describe('a crowd with a key', () => {
  const FEEDBACK = { grttUs: 5000, groupCount: 1, reportIntervalMs: 100, receiverTimeoutMs: 5000 }
  const limited = (joinLimit: number): Partial<Announce> => ({ feedback: { ...FEEDBACK, joinLimit } })
  const crowd = (): Listener[] =>
    Array.from({ length: 60 }, (_, index) => new Listener({ random: seededRandom(index + 1) }))
  const askedCount = (listeners: readonly Listener[]): number => listeners.filter(({ sent }) => sent.length > 0).length

  test('asks late in the window, and only few early: so the sender can stop the rest', () => {
    const [speaker, listeners] = [new Speaker(1), crowd()]
    const announce = speaker.announce()
    for (const listener of listeners) listener.hear(announce)
    expect(askedCount(listeners)).toBe(0)
    for (const listener of listeners) listener.pass(JOIN_WINDOW_US / 2)
    expect(askedCount(listeners)).toBeLessThan(5)
    const stop = speaker.announce(limited(1))
    for (const listener of listeners) {
      listener.hear(stop)
      listener.pass(JOIN_WINDOW_US / 2)
    }
    expect(askedCount(listeners)).toBeLessThan(5)
  })

  test('waits for a limit above the number drawn, and joins by the same number', () => {
    const [speaker, listeners] = [new Speaker(1), crowd()]
    const announces = [0.25, 0.5, 1].map((share) => speaker.announce(limited(share * 65_536)))
    const shares = announces.map((announce) => {
      for (const listener of listeners) {
        listener.hear(announce)
        listener.pass(JOIN_WINDOW_US)
      }
      return askedCount(listeners) / listeners.length
    })
    expect(shares[0]).toBeGreaterThan(0.1)
    expect(shares[0]).toBeLessThan(0.4)
    expect(shares[1]).toBeGreaterThan(0.35)
    expect(shares[1]).toBeLessThan(0.65)
    expect(shares[2]).toBe(1)
    const proof = speaker.say({
      kind: 'proof',
      nonces: listeners.slice(0, 40).map(({ sent }) => speaker.nonceIn(sent[0]!)),
    })
    const half = speaker.announce(limited(32_768))
    const joined = listeners.slice(0, 40).filter((listener) => {
      const askedCount = listener.sent.length
      listener.hear(proof, half)
      listener.opened()
      listener.pass(MIN_SPREAD_US)
      expect(listener.kinds).toEqual(['session'])
      return listener.sent.length > askedCount
    })
    expect(joined.length).toBeGreaterThan(10)
    expect(joined.length).toBeLessThan(30)
  })

  test('asks again, not at every Announce but at one pace, while no Proof comes', () => {
    const [speaker, listener] = [new Speaker(1), new Listener()]
    for (let heard = 0; heard < 40; heard++) {
      listener.hear(speaker.announce())
      listener.pass(50_000)
    }
    expect(listener.sent.length).toBeGreaterThanOrEqual(12)
    expect(listener.sent.length).toBeLessThanOrEqual(22)
  })

  test('asks the live session when it hears it, however many recordings it has heard meanwhile', () => {
    const [live, listener] = [new Speaker(1), new Listener()]
    const recordings = Array.from({ length: 20 }, (_, index) => new Speaker(index + 2).announce())
    for (let round = 0; round < 3; round++) {
      listener.hear(...recordings)
      listener.pass(JOIN_WINDOW_US)
    }
    listener.hear(live.announce())
    expect(live.isAsked(listener.sent.at(-1)!)).toBe(true)
  })
})

describe('a session that does not fit', () => {
  const failureOf = (listener: Listener): unknown => {
    expect(listener.kinds).toEqual([])
    listener.pass(2 * ANNOUNCE_INTERVAL_US - 1)
    expect(listener.kinds).toEqual([])
    listener.pass(1)
    return listener.events.map((event) => (event.kind === 'failed' ? event.code : event.kind))
  }
  const verifying = new ReceiverKeys(groupKey, signing.publicKey)

  test.each([
    ['another key', new SenderKeys(createSecretKey(Buffer.alloc(32, 2))), new ReceiverKeys(groupKey), 'KEY_REFUSED'],
    ['a key, and there is none here', new SenderKeys(groupKey), new ReceiverKeys(), 'KEY_NEEDED'],
    ['no signature', new SenderKeys(groupKey), verifying, 'SESSION_UNTRUSTED'],
    ['no key', new SenderKeys(undefined, signing.privateKey), verifying, 'SESSION_UNTRUSTED'],
    [
      'another signature',
      new SenderKeys(groupKey, generateKeyPairSync('ed25519').privateKey),
      verifying,
      'SIGNATURE_REFUSED',
    ],
  ])('for %s is named within two announce intervals', (_what, senderKeys, receiverKeys, code) => {
    const listener = new Listener({}, receiverKeys)
    listener.hear(new Speaker(1, senderKeys).announce())
    expect(failureOf(listener)).toEqual([code])
  })

  test('since it sends another image is named within two announce intervals', () => {
    const listener = new Listener({ imageId: 'wanted' })
    listener.hear(new Speaker(1).announce())
    expect(failureOf(listener)).toEqual(['IMAGE_REFUSED'])
  })

  test('is forgotten when one that fits is heard in the meantime', () => {
    const [speaker, listener] = [new Speaker(1), new Listener()]
    listener.hear(new Speaker(2, new SenderKeys(createSecretKey(Buffer.alloc(32, 2)))).announce())
    listener.meet(speaker)
    listener.pass(3 * ANNOUNCE_INTERVAL_US)
    expect(listener.kinds).toEqual(['session'])
  })

  test('is told at once, and waited out, by a receiver that was told how long to wait', () => {
    const listener = new Listener({ startTimeoutUs: 5_000_000 })
    const stranger = new Speaker(2, new SenderKeys(createSecretKey(Buffer.alloc(32, 2))))
    listener.hear(stranger.announce(), stranger.announce())
    expect(listener.events).toMatchObject([{ kind: 'unfit', text: expect.stringContaining('group key') as unknown }])
    listener.pass(4_999_999)
    expect(listener.events).toHaveLength(1)
    listener.pass(1)
    expect(listener.events).toMatchObject([{ kind: 'unfit' }, { kind: 'failed', code: 'KEY_REFUSED' }])
  })
})

test('a receiver without keys takes a signed session, and asks for no proof', () => {
  const listener = new Listener({}, new ReceiverKeys())
  listener.hear(new Speaker(1, new SenderKeys(undefined, signing.privateKey)).announce())
  expect(listener.events).toMatchObject([{ kind: 'session', mode: { isKeyed: false, isSigned: true } }])
  listener.opened()
  listener.pass(200_000)
  const packet = listener.sent[0]!
  expect(decodeControl(packet, 0, packet.length)).toMatchObject({ kind: 'join' })
})
