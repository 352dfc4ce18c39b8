import { PEER_NAMES, type PeerName } from '../../test/lab/peers.ts'

/** Our own commands. */
export const OURS = 'skilfish'

/** Our own commands with `--no-offload` at both ends. */
export const OURS_WITHOUT_OFFLOAD = 'skilfish-no-offload'

/** The same sockets with no protocol at all: what a program in Node.js could reach on this machine. */
export const RAW_LIMIT = 'raw-limit'

export type ProgramName = typeof OURS | typeof OURS_WITHOUT_OFFLOAD | typeof RAW_LIMIT | PeerName

export const PROGRAM_NAMES: readonly ProgramName[] = [OURS, OURS_WITHOUT_OFFLOAD, RAW_LIMIT, ...PEER_NAMES]

export const isProgramName = (name: string): name is ProgramName => PROGRAM_NAMES.some((known) => known === name)

export const isPeer = (program: ProgramName): program is PeerName => PEER_NAMES.some((peer) => peer === program)

export const isOurs = (program: ProgramName): boolean => program === OURS || program === OURS_WITHOUT_OFFLOAD

/** What is sent, over which network: everything that two programs must have in common to be compared. Each field is an axis. */
export interface Scenario {
  readonly data: DataName
  /** Size of the image, holes included. */
  readonly imageMib: number
  /** Hosts that receive, 1 and up. */
  readonly receiverCount: number
  /** Share of the packets that each receiver loses at random, by itself; 0 to 100. */
  readonly lossPercent: number
  /** MTU of every link. */
  readonly mtuBytes: number
  /** Cap that the sender is given, bits per second; none unless given. */
  readonly maxBitsPerSec?: number
}

export const DATA_NAMES = ['random', 'rootfs', 'holes'] as const

/**
 * - `random`: incompressible, without holes.
 * - `rootfs`: a file system with system files in an eighth of the image, the rest holes.
 * - `holes`: up to 256 MiB of incompressible runs of at most 128 KiB all over the image, a quarter of them zeros that are stored.
 */
export type DataName = (typeof DATA_NAMES)[number]

/** The point from which axes are varied. */
export const BASE: Scenario = { data: 'random', imageMib: 512, receiverCount: 4, lossPercent: 0, mtuBytes: 1500 }

/** What images are unless something else is said, in MiB. */
export const IMAGE_MIB: Readonly<Record<DataName, number>> = { random: 512, rootfs: 4096, holes: 4096 }

/** One line of a table: a program in a scenario. */
export interface Case {
  readonly program: ProgramName
  readonly scenario: Scenario
}

/**
 * Names every axis but an MTU of 1500, so that equal texts are equal scenarios.
 * @example '4 receivers, 1 % loss, random 512 MiB, at most 40 MB/s'
 */
export function describeScenario(scenario: Scenario): string {
  const { data, imageMib, receiverCount, lossPercent, mtuBytes, maxBitsPerSec } = scenario
  return [
    receiverCount === 1 ? '1 receiver' : `${receiverCount} receivers`,
    `${lossPercent} % loss`,
    `${data} ${formatImageSize(imageMib)}`,
    ...(mtuBytes === BASE.mtuBytes ? [] : [`MTU ${mtuBytes}`]),
    ...(maxBitsPerSec === undefined ? [] : [`at most ${maxBitsPerSec / 8e6} MB/s`]),
  ].join(', ')
}

export const isSameCase = (one: Case, other: Case): boolean =>
  one.program === other.program && describeScenario(one.scenario) === describeScenario(other.scenario)

function formatImageSize(mib: number): string {
  const [size, unit] =
    mib % 1024 ** 2 === 0 ? [mib / 1024 ** 2, 'TiB'] : mib % 1024 === 0 ? [mib / 1024, 'GiB'] : [mib, 'MiB']
  return `${size} ${unit}`
}
