/** What is sent, over which network: everything that two programs must have in common to be compared. Each field is an axis. */
export interface Scenario {
  readonly data: DataName
  /** Hosts that receive, 1 and up. */
  readonly receiverCount: number
  /** Share of the packets that each receiver loses at random, by itself; 0 to 100. */
  readonly lossPercent: number
  /** MTU of every link. */
  readonly mtuBytes: number
  /** Cap that the sender is given, bits per second; none unless given. */
  readonly maxBitsPerSec?: number
}

/**
 * - `random`: incompressible, without holes.
 * - `rootfs`: a file system with about 500 MiB of system files in an image of 4 GiB, the rest holes.
 */
export type DataName = 'random' | 'rootfs'

/** One line of a table: a program in a scenario. */
export interface Case {
  readonly program: string
  readonly scenario: Scenario
}

/** @example '4 receivers, 1 % loss, random, MTU 1500' */
export function describeScenario(scenario: Scenario): string {
  const { data, receiverCount, lossPercent, mtuBytes, maxBitsPerSec } = scenario
  const cap = maxBitsPerSec === undefined ? '' : `, at most ${maxBitsPerSec / 1e6} Mbit/s`
  const receivers = receiverCount === 1 ? '1 receiver' : `${receiverCount} receivers`
  return `${receivers}, ${lossPercent} % loss, ${data}, MTU ${mtuBytes}${cap}`
}
