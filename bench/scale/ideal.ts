/** What a repair strategy costs beyond sending everything once: a share of the source symbols, 0 to anything. */
export interface GroupLoss {
  /** Share of packets that each receiver loses, each packet by its own fate, 0 to below 1. */
  readonly lossRatio: number
  readonly receiverCount: number
}

/** Terms of a sum below this no longer count. */
const NEGLIGIBLE = 1e-12

/**
 * Extra symbols with parity repair at its best: after the k source symbols of a slice only so many more that the receiver that lost
 * most has k, whichever they are. The expected maximum over the receivers of the negative binomial count of losses before the
 * k-th success, over k.
 */
export function idealExtraRatio(sourceCount: number, { lossRatio, receiverCount }: GroupLoss): number {
  let extra = 0
  /** Chance that a receiver loses exactly, and at most, so many. */
  let exactly = (1 - lossRatio) ** sourceCount
  let atMost = exactly
  for (let lost = 0; ; lost++) {
    const term = 1 - atMost ** receiverCount
    // The first terms may all be one where the chance of so few losses is nothing at all.
    if (term < NEGLIGIBLE || lost > sourceCount * 1000) return extra / sourceCount
    extra += term
    exactly *= (lossRatio * (sourceCount + lost)) / (lost + 1)
    atMost = Math.min(1, atMost + exactly)
  }
}

/**
 * Extra packets when each lost packet itself is sent again until everybody has it: the expected maximum over the receivers of the
 * geometric count of losses. The size of a slice does not matter.
 */
export function resendExtraRatio({ lossRatio, receiverCount }: GroupLoss): number {
  let extra = 0
  for (let allLost = lossRatio; ; allLost *= lossRatio) {
    const term = -Math.expm1(receiverCount * Math.log1p(-allLost))
    if (term < NEGLIGIBLE) return extra
    extra += term
  }
}
