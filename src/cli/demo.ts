import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { stat, statfs } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { SkilfishError } from '../errors.ts'
import { targetError } from '../io/index.ts'
import { DEFAULT_SLICE_BYTES } from '../protocol/index.ts'
import { formatBitrate } from '../ratelimit/index.ts'
import type { ReceiveProgress, ReceiveResult } from '../receiver/index.ts'
import type { SendProgress, SendResult } from '../sender/index.ts'
import { parseCommandLine } from './command-line.ts'
import { DEMO_IMAGE_BYTES, makeDemoImage } from './demo-image.ts'
import { DemoPeer, type PeerState } from './demo-peer.ts'
import { demoReport, type DemoCopy } from './demo-report.ts'
import type { LiveLine } from './live-lines.ts'
import type { Output } from './output.ts'
import { runProgram, type Ending, type ProgramContext } from './program.ts'
import { formatBytes, formatPercent, formatShare } from './quantities.ts'
import { haveSameBytes } from './same-bytes.ts'

const RECEIVER_COUNT = 3

/** Share of its packets that each receiver loses on purpose. */
const DROP_RATIO = 0.02

/** Fast, and slow enough for the bars to be seen. */
const MAX_BITRATE = '400M'

/** What image and copies take on the disk for a while, bytes. */
const ROOM_BYTES = 1024 * 1024 * 1024

/** Time between two looks at the processes, milliseconds: they tell four times a second. */
const LOOK_INTERVAL_MS = 250

/** Multicast over the loopback interface needs no network and no route. */
const LOOPBACK = '127.0.0.1'

const FORM = {
  name: 'skilfish-demo',
  description:
    'Sends a sparse disk image to three receivers on this machine, over real multicast, while each of them loses ' +
    '2 % of its packets; then compares the copies. Takes less than 30 s, and up to 1 GiB for a while in the ' +
    'folder for temporary files (TMPDIR).',
  options: {},
  groups: {},
  notes: [],
  examples: ['skilfish-demo'],
  exits: ['success', 'internal', 'usage', 'storage', 'network', 'interrupted'],
} as const

void runProgram({
  name: FORM.name,
  parse: () => {
    const line = parseCommandLine(FORM, process.argv.slice(2))
    return line.kind === 'text' ? line : { ...line, output: { isJson: false, isQuiet: false, isVerbose: false } }
  },
  streams: () => ({ json: process.stdout, text: process.stdout }),
  run: (_command, context) => runDemo(context),
})

async function runDemo({ output, interruption }: ProgramContext): Promise<Ending> {
  const { signal } = interruption
  const folder = makeFolder()
  // Also when a second Ctrl-C ends the process at once.
  process.on('exit', () => rmSync(folder, { recursive: true, force: true }))
  try {
    await checkRoom(folder)
    const image = join(folder, 'demo.img')
    output.log(`Making an image of ${formatBytes(DEMO_IMAGE_BYTES)} …`)
    const description = await makeDemoImage(image, signal)
    const storedBytes = await storedSize(image)
    output.log(`It is ${description}; ${formatBytes(storedBytes)} on disk, the rest is holes.`)
    output.log(
      `Sending it to ${RECEIVER_COUNT} receivers, each of which loses ${formatShare(DROP_RATIO, 1)} of its packets:`,
    )
    const { sent, received } = await transfer(image, folder, Math.ceil(storedBytes / DEFAULT_SLICE_BYTES), {
      output,
      signal,
    })
    const copies = await examine(image, received)
    const outcome = { raw: sent, summary: ['', ...demoReport(sent, copies)] }
    const isIdentical = copies.every((copy) => copy.isIdentical)
    return isIdentical ? { outcome } : { outcome, error: new Error('a copy differs from the image') }
  } catch (error) {
    if (!signal.aborted) throw error
    throw new SkilfishError('INTERRUPTED', 'the demo was interrupted', { cause: error })
  }
}

function makeFolder(): string {
  try {
    return mkdtempSync(join(tmpdir(), 'skilfish-demo-'))
  } catch (error) {
    throw targetError(`make a folder in ${tmpdir()} (TMPDIR)`, error)
  }
}

interface Received {
  readonly label: string
  readonly path: string
  readonly result: ReceiveResult
}

/** @param sliceCount of the image, about */
async function transfer(
  image: string,
  folder: string,
  sliceCount: number,
  { output, signal }: { readonly output: Output; readonly signal: AbortSignal },
): Promise<{ sent: SendResult; received: Received[] }> {
  const network = ['--group', await freeGroup(), '--interface', LOOPBACK]
  const receivers = Array.from({ length: RECEIVER_COUNT }, (_, index) => {
    const label = `receiver ${index + 1}`
    const path = join(folder, `copy-${index + 1}.img`)
    const args = [...network, '--name', label, '--start-timeout', '10', path]
    const environment = { SKILFISH_DROP: String(DROP_RATIO) }
    const options = {
      label,
      program: 'recv',
      args,
      environment,
      describe: (progress: ReceiveProgress) => receiverState(progress, sliceCount),
    } as const
    return { label, path, peer: new DemoPeer<ReceiveProgress, ReceiveResult>(options) }
  })
  const start = ['--min-receivers', String(RECEIVER_COUNT), '--start-timeout', '10', '--max-bitrate', MAX_BITRATE]
  const sender = new DemoPeer<SendProgress, SendResult>({
    ...{
      label: 'sender    ',
      program: 'send',
      args: [...network, ...start, image],
      environment: {},
      describe: (progress) => senderState(progress, sliceCount),
    },
  })
  const peers = [sender, ...receivers.map(({ peer }) => peer)]
  const stopAll = (): void => {
    for (const peer of peers) peer.stop()
  }
  signal.addEventListener('abort', stopAll)
  const stopWatching = watch(output, () => peers.map((peer) => peer.state))
  try {
    const received = receivers.map(async ({ label, path, peer }) => ({ label, path, result: await peer.finished }))
    const [sent, ...all] = await Promise.all([sender.finished, ...received])
    return { sent, received: all }
  } finally {
    // When one has failed, the others have nothing left to do.
    stopAll()
    await Promise.allSettled(peers.map((peer) => peer.finished))
    stopWatching()
  }
}

/** Shows the lines again and again. Returns what ends that. */
function watch(output: Output, lines: () => readonly LiveLine[]): () => void {
  const beganMs = performance.now()
  const timer = setInterval(() => {
    const live = lines()
    const facts = live.map(({ label, percent = 0 }) => `${label.trim()} ${formatPercent(percent)}`)
    const elapsedMs = performance.now() - beganMs
    output.progress({ raw: {}, phase: 'sending', elapsedMs, percent: undefined, facts, details: [], live })
  }, LOOK_INTERVAL_MS)
  return () => clearInterval(timer)
}

function senderState({ phase, stats }: SendProgress, sliceCount: number): PeerState {
  const repairs = stats.paritySymbols + stats.proactiveSymbols + stats.resentSymbols
  const facts = [formatBitrate(stats.rateBitsPerSec), `repairs ${formatShare(repairs, stats.sourceSymbols)}`, phase]
  return { percent: percentOf(stats.slicesBegun, stats.slicesTotal ?? sliceCount), facts }
}

function receiverState({ phase, stats }: ReceiveProgress, sliceCount: number): PeerState {
  const loss = formatShare(stats.lostPackets, stats.packets + stats.lostPackets)
  const facts = [`loss ${loss}`, `${stats.parityUsed} packets rebuilt`, phase]
  return { percent: percentOf(stats.slicesSettled, stats.slicesTotal ?? sliceCount), facts }
}

function percentOf(part: number, whole: number): number {
  return Math.min(100, (100 * part) / Math.max(1, whole))
}

async function examine(image: string, received: readonly Received[]): Promise<DemoCopy[]> {
  const verdicts = await haveSameBytes(
    image,
    received.map(({ path }) => path),
  )
  return Promise.all(
    received.map(async ({ label, path, result }, index) => {
      return { label, result, storedBytes: await storedSize(path), isIdentical: verdicts[index] === true }
    }),
  )
}

/** What a file takes on the disk, bytes: its holes take nothing. */
async function storedSize(path: string): Promise<number> {
  return (await stat(path)).blocks * 512
}

async function checkRoom(folder: string): Promise<void> {
  const { bavail, bsize } = await statfs(folder)
  if (bavail * bsize >= ROOM_BYTES) return
  const text = `cannot make the files in ${tmpdir()}: ${formatBytes(bavail * bsize)} are free, ${formatBytes(ROOM_BYTES)} wanted`
  throw new SkilfishError('TARGET_FULL', `${text}; set TMPDIR to another folder`)
}

/** A group that nobody else on this machine uses: a port that is free now, and the demo's own addresses. */
async function freeGroup(): Promise<string> {
  const socket = createSocket('udp4')
  socket.bind(0)
  await once(socket, 'listening')
  const { port } = socket.address()
  socket.close()
  return `239.83.${port >> 8}.${port & 255}:${port}`
}
