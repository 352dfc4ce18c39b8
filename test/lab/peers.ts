import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { basename, join } from 'node:path'
import { missingPackages, runCommand, type Packages } from './command.ts'
import { requireIdentical } from './images.ts'
import type { Lab } from './lab.ts'
import { measureTransfer, type TransferFigures, type TransferPlan } from './measured-transfer.ts'

/**
 * Programs to compare with, as their manuals have them used on a local network:
 * - `udpcast`: udp-sender and udp-receiver, starting when as many receivers as wanted are there, which the sender looks after
 *   every 2 s. Hellos are sent once: when loss takes the first, it waits for ever.
 * - `udpcast-eager`: the same with hellos repeated every 100 ms, by which the sender also looks for receivers that often.
 * - `udpcast-lzop`: `udpcast` through `lzop -1` and `lzop -d`.
 * - `uftp`: uftp and uftpd in an open group, which waits some seconds for whoever may come.
 * - `uftp-named`: the same in a closed group, which starts when all receivers, named beforehand, are there.
 */
export const PEER_NAMES = ['udpcast', 'udpcast-eager', 'udpcast-lzop', 'uftp', 'uftp-named'] as const

export type PeerName = (typeof PEER_NAMES)[number]

export interface PeerRun {
  readonly lab: Lab
  readonly sourcePath: string
  /** How many of the lab's receivers take part. */
  readonly receiverCount: number
  /** Where a folder for the copies is made, and removed again. For transfers that no disk slows down, one in memory: /dev/shm. */
  readonly folder: string
  /** Cap on what the sender sends, in bits a second as the program counts them; none unless given. */
  readonly maxBitsPerSec?: number
  /** 10 minutes unless given. */
  readonly timeoutMs?: number
}

export interface PeerFigures extends TransferFigures {
  /** What the program itself gives as the time of the transfer alone, after all receivers were found; only UFTP does. */
  readonly transferMs?: number
}

/** What the peers are. */
export const PEER_PACKAGES: Packages = {
  udpcast: ['udp-sender', 'udp-receiver'],
  uftp: ['uftp', 'uftpd'],
  lzop: ['lzop'],
}

const TIMEOUT_MS = 600_000

/** Bytes that UFTP wants left free in a packet for its own and lower headers. Source: uftp(1), `-b`: 100 to 200. */
const UFTP_HEADROOM_BYTES = 200

/** What this machine lacks to run the peers, a line for people each; empty when nothing. */
export const missingForPeers = (): string[] => missingPackages(PEER_PACKAGES)

/** Debian package → installed version. */
export function peerVersions(): Record<string, string> {
  const format = '${Package} ${Version}\n'
  const lines = runCommand('dpkg-query', ['-W', '-f', format, ...Object.keys(PEER_PACKAGES)])
    .trim()
    .split('\n')
  return Object.fromEntries(lines.map((line) => line.split(' ') as [string, string]))
}

/**
 * Sends a file with a peer program, measures it, and compares every copy with the file (not part of the measured time).
 * @throws Error when packages are missing, a process fails, the time is up, or a copy differs.
 */
export async function runPeer(name: PeerName, run: PeerRun): Promise<PeerFigures> {
  const missing = missingForPeers()
  if (missing.length > 0) throw new Error(`The peers cannot run here; they need ${missing.join('; ')}`)
  const folder = mkdtempSync(join(run.folder, `skilfish-${name}-`))
  try {
    const folders = Array.from({ length: run.receiverCount }, (_, index) => join(folder, String(index + 1)))
    for (const path of folders) mkdirSync(path)
    const figures = await measureTransfer(run.lab, PLANS[name](run, folders))
    for (const path of folders) await requireIdentical(run.sourcePath, join(path, basename(run.sourcePath)))
    const seconds = /^Total elapsed time: ([\d.]+) seconds$/m.exec(figures.sender.output)?.[1]
    return seconds === undefined ? figures : { ...figures, transferMs: Number(seconds) * 1000 }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** @param folders for each receiver, where its copy goes, under the name of the source */
type Plan = (run: PeerRun, folders: readonly string[]) => TransferPlan

const PLANS: Readonly<Record<PeerName, Plan>> = {
  udpcast: (run, folders) => udpcast(run, folders),
  'udpcast-eager': (run, folders) => udpcast(run, folders, ['--rexmit-hello-interval', '100']),
  'udpcast-lzop': (run, folders) => udpcast(run, folders, ['--pipe', 'lzop -1'], ['--pipe', 'lzop -d']),
  uftp: (run, folders) => uftp(run, folders, false),
  'uftp-named': (run, folders) => uftp(run, folders, true),
}

function udpcast(
  run: PeerRun,
  folders: readonly string[],
  sendOptions: readonly string[] = [],
  receiveOptions: readonly string[] = [],
): TransferPlan {
  const common = ['--interface', 'eth0', '--nokbd', '--file']
  const cap = run.maxBitsPerSec === undefined ? [] : ['--max-bitrate', String(run.maxBitsPerSec)]
  const wait = ['--min-receivers', String(run.receiverCount)]
  return {
    sender: { command: 'udp-sender', args: [...common, run.sourcePath, ...wait, ...cap, ...sendOptions] },
    receivers: folders.map((folder) => ({
      command: 'udp-receiver',
      args: [...common, join(folder, basename(run.sourcePath)), ...receiveOptions],
    })),
    timeoutMs: run.timeoutMs ?? TIMEOUT_MS,
  }
}

function uftp(run: PeerRun, folders: readonly string[], isNamed: boolean): TransferPlan {
  const identities = folders.map((_, index) => `0x${(index + 1).toString(16).padStart(8, '0')}`)
  const rateKbits = run.maxBitsPerSec === undefined ? -1 : Math.round(run.maxBitsPerSec / 1000)
  const options = ['-I', 'eth0', '-R', String(rateKbits), '-b', String(run.lab.mtuBytes - UFTP_HEADROOM_BYTES)]
  return {
    sender: { command: 'uftp', args: [...options, ...(isNamed ? ['-H', identities.join()] : []), run.sourcePath] },
    receivers: folders.map((folder, index) => ({
      command: 'uftpd',
      // In the foreground, without looking up the sender's name where there is no name service.
      args: ['-d', '-q', '-I', 'eth0', '-U', identities[index]!, '-D', folder],
    })),
    endReceiversWith: 'SIGTERM',
    timeoutMs: run.timeoutMs ?? TIMEOUT_MS,
  }
}
