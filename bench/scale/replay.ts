import type { Link } from '../../test/sim/link.ts'

/** The dice of one receiver's path: each call is a packet's fate. */
export type Dice = Pick<Link, 'isLost'>

export interface Replayed {
  /** Packets sent beyond the source symbols, over these. */
  readonly extraRatio: number
  /** Messages from the receivers, all together. */
  readonly messageCount: number
}

/** Slices, and source symbols of each. */
export interface Shape {
  readonly sliceCount: number
  readonly sourceCount: number
}

/**
 * What parity repair needs at its best: each slice is sent with just so much parity that everybody can rebuild it. Nobody says
 * anything: the sender guesses right.
 */
export function replayParity({ sliceCount, sourceCount }: Shape, receivers: readonly Dice[]): Replayed {
  let sentCount = 0
  const lacking = new Int32Array(receivers.length)
  for (let slice = 0; slice < sliceCount; slice++) {
    lacking.fill(sourceCount)
    for (let needyCount = receivers.length; needyCount > 0; sentCount++) {
      for (const [index, dice] of receivers.entries()) {
        if (!dice.isLost() && --lacking[index]! === 0) needyCount--
      }
    }
  }
  return { extraRatio: sentCount / (sliceCount * sourceCount) - 1, messageCount: 0 }
}

/**
 * What UDPcast does, with a network that loses no feedback: after the slice, and after each round of repairs, every receiver that
 * had not said before that it has the slice says what it still lacks, or that it lacks nothing; every packet that anybody lacks is
 * sent again, until nobody lacks any.
 */
export function replayResend({ sliceCount, sourceCount }: Shape, receivers: readonly Dice[]): Replayed {
  let sentCount = 0
  let messageCount = 0
  /** By receiver, then symbol: 1 while it lacks it. */
  const lacks = new Uint8Array(receivers.length * sourceCount)
  const lackingCount = new Int32Array(receivers.length)
  const wantedCount = new Int32Array(sourceCount)
  for (let slice = 0; slice < sliceCount; slice++) {
    lacks.fill(1)
    lackingCount.fill(sourceCount)
    wantedCount.fill(receivers.length)
    for (let unreadyCount = receivers.length; unreadyCount > 0;) {
      for (let symbol = 0; symbol < sourceCount; symbol++) {
        if (wantedCount[symbol] === 0) continue
        sentCount++
        for (const [index, dice] of receivers.entries()) {
          const at = index * sourceCount + symbol
          if (dice.isLost() || lacks[at] === 0) continue
          lacks[at] = 0
          lackingCount[index]!--
          wantedCount[symbol]!--
        }
      }
      messageCount += unreadyCount
      unreadyCount = lackingCount.reduce((count, lacking) => count + Number(lacking > 0), 0)
    }
  }
  return { extraRatio: sentCount / (sliceCount * sourceCount) - 1, messageCount }
}
