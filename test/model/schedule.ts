import { createSecretKey, generateKeyPairSync } from 'node:crypto'
import { seededRandom, type Random } from '../../src/random.ts'
import { ReceiverKeys, SenderKeys } from '../../src/trust/index.ts'
import type { LinkSpec } from '../sim/link.ts'
import type { SenderSetup } from '../sim/sender-party.ts'
import type { World, WorldReceiver } from '../sim/world.ts'

/** Bytes of a slice: 12 packets, so that many slices make a small image. */
export const SLICE_BYTES = 16_384

/** Of everybody: longer than any trouble before the calm, so that nobody is given up who can be helped. */
const TIMEOUT_US = 8_000_000

const groupKey = createSecretKey(Buffer.alloc(32, 1))
const signing = generateKeyPairSync('ed25519')

type Trust = readonly [key: typeof groupKey | undefined, signer: typeof signing | undefined]

const OPEN: Trust = [undefined, undefined]

/** Half of all sessions are open; the others have a key, a signature, or both. */
const TRUST: readonly Trust[] = [OPEN, OPEN, OPEN, [groupKey, undefined], [undefined, signing], [groupKey, signing]]

/** What is drawn for one seed. */
export interface Plan {
  readonly seed: number
  readonly dataBytes: number
  readonly holeRatio: number
  readonly sender: SenderSetup & { readonly windowSlices: number; readonly maxBitrate: number | undefined }
  readonly receivers: readonly WorldReceiver[]
  /** Delay of every link, microseconds: what the network keeps when it is calm. */
  readonly delayUs: number
  /** From then on the network loses nothing and nobody dies; Infinity: never. */
  readonly calmUs: number
  /** What happens before. */
  readonly troubles: readonly Trouble[]
}

export interface Trouble {
  readonly atUs: number
  /** For people. */
  readonly what: string
  readonly strike: (world: World) => void
}

export const pick = <Item>(random: Random, ...items: readonly Item[]): Item =>
  items[Math.floor(random() * items.length)]!

export const upTo = (random: Random, most: number): number => Math.floor(random() * (most + 1))

/** The parts of a plan that all tests of the model draw alike, and the dice for the rest. */
export function drawPlan(seed: number): { readonly random: Random; readonly plan: Omit<Plan, 'troubles'> } {
  const random = seededRandom(seed)
  const delayUs = pick(random, 0, 200, 3000, 20_000)
  const calmUs = 100_000 + upTo(random, 2_000_000)
  const dataBytes = pick(random, 0, 1, 16_384, 50_000, 100_000, 200_000)
  const [key, signer] = pick(random, ...TRUST)
  const isTrusted = key !== undefined || signer !== undefined
  const plan = {
    ...{ seed, delayUs, calmUs, dataBytes, holeRatio: pick(random, 0, 0, 0.4) },
    sender: {
      onSlow: pick<'defer' | 'wait' | 'drop'>(random, 'defer', 'wait', 'drop'),
      windowSlices: pick(random, 4, 8, 64),
      canReread: random() < 0.7,
      fec: pick<'auto' | 'off' | number>(random, 'auto', 'off', 20),
      maxBitrate: pick(random, undefined, 2_000_000, 10_000_000, 100_000_000),
      ...{ receiverTimeoutUs: TIMEOUT_US, startTimeoutUs: TIMEOUT_US },
      ...(isTrusted && { keys: new SenderKeys(key, signer?.privateKey) }),
    },
    receivers: Array.from({ length: 1 + upTo(random, 3) }, () => ({
      path: { down: { delayUs }, up: { delayUs } },
      staleByte: pick(random, 0, 0xa5),
      bufferSlices: pick(random, 1, 3, 64),
      // What is written in sequence, to a pipe, cannot be gone on with.
      ...pick(random, { isSequential: true }, {}, { flushEverySlices: 1 }, { flushEverySlices: 3 }),
      ...(random() < 0.2 ? { diskBytesPerSec: pick(random, 100_000, 1_000_000) } : {}),
      ...(random() < 0.1 ? { rejectFirst: 1 + upTo(random, 2) } : {}),
      ...{ receiveTimeoutUs: TIMEOUT_US, startTimeoutUs: TIMEOUT_US },
      ...(isTrusted && { keys: new ReceiverKeys(key, signer?.publicKey) }),
    })),
  }
  return { random, plan }
}

/** Any fault of a link that passes. */
function drawLink(random: Random, delayUs: number): LinkSpec {
  return {
    delayUs,
    lossRatio: pick(random, 0, 0.02, 0.2, 0.6, 1),
    jitterUs: pick(random, 0, 0, 500, 20_000),
    duplicateRatio: pick(random, 0, 0, 0.3),
    reorderRatio: pick(random, 0, 0, 0.3),
    reorderUs: pick(random, 500, 30_000),
    ...(random() < 0.1 ? { corruptRatio: 0.01 } : {}),
    ...(random() < 0.2 ? { bursts: { enterRatio: 0.05, leaveRatio: 0.2, lossRatio: 0.9 } } : {}),
    ...(random() < 0.1 ? { bitsPerSec: 3_000_000, queueBytes: 20_000 } : {}),
  }
}

/** Changes of links, one every so often until the calm. */
export function drawWeather(random: Random, { delayUs, calmUs, receivers }: Omit<Plan, 'troubles'>): Trouble[] {
  const troubles: Trouble[] = []
  for (let atUs = 1; atUs < calmUs; atUs += 1 + upTo(random, 400_000)) {
    const index = upTo(random, receivers.length) - 1
    const [down, up] = [drawLink(random, delayUs), drawLink(random, delayUs)]
    const what = index < 0 ? `uplink ${JSON.stringify(down)}` : `path ${index} ${JSON.stringify({ down, up })}`
    const strike = ({ network }: World): void => {
      if (index < 0) network.setUplink({ ...down, delayUs: 0 })
      else network.setPath(index, { down, up })
    }
    troubles.push({ atUs, what, strike })
  }
  return troubles
}

/** Whatever the weather was: now everything arrives. */
export function calm({ network, receivers }: World, delayUs: number): void {
  network.setUplink({})
  const link = { delayUs }
  receivers.forEach((_, index) => network.setPath(index, { down: link, up: link }))
}
