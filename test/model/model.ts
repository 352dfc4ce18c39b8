import { World } from '../sim/world.ts'
import { Invariants, type Bounds } from './invariants.ts'
import { calm, SLICE_BYTES, type Plan } from './schedule.ts'

/**
 * Within this virtual time after the calm everybody has ended, whatever came before, microseconds: twice the longest timeout. Where
 * it is never calm, since the start: with one buffer and three fifths of all packets lost, both ways, slices take some 10 s each. Of 3,000
 * such worlds four took more than 120 s, the longest 214 s.
 */
const END_US = { afterCalm: 16_000_000, inTrouble: 400_000_000 }

/**
 * Runs a plan to its end, with every invariant checked at every step.
 * @param bounds what the sender must keep to: what it was told, unless an invariant is to be broken
 * @throws Error with what was seen, and what had happened before
 */
export function runPlan(plan: Plan, bounds: Bounds = plan.sender): World {
  const invariants = new Invariants(bounds, SLICE_BYTES)
  const struck: string[] = []
  const world: World = new World({
    seed: plan.seed,
    dataBytes: plan.dataBytes,
    holeRatio: plan.holeRatio,
    sliceBytes: SLICE_BYTES,
    sender: plan.sender,
    receivers: plan.receivers,
    limitUs: plan.calmUs === Infinity ? END_US.inTrouble : plan.calmUs + END_US.afterCalm,
    network: {
      filter: (packet, _, from) => {
        if (from >= 0) invariants.checkFeedback(world, packet, from)
        return false
      },
    },
    onSent: (_, bytes, segmentBytes) => invariants.checkSent(bytes, segmentBytes),
    onStep: invariants.check,
  })
  for (const { atUs, what, strike } of plan.troubles) {
    world.schedule(atUs, () => {
      struck.push(`${atUs} us: ${what}`)
      strike(world)
    })
  }
  if (plan.calmUs < Infinity) world.schedule(plan.calmUs, () => calm(world, plan.delayUs))
  try {
    return world.run()
  } catch (error) {
    throw new Error([(error as Error).message, ...struck.slice(-20)].join('\n  '), { cause: error })
  }
}
