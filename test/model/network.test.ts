// What may never happen, and must happen in the end, on networks that lose, repeat, overtake and damage packets. A failing seed
// is printed with the command that replays it. MODEL_SEEDS sets how many seeds each test file tries (npm run test:model: 2000).
import { expect, test } from 'vitest'
import { chosenSeed, outcomes, replayable } from '../sim/scenario.ts'
import { groups, seedsOf } from './groups.ts'
import { runPlan } from './model.ts'
import { drawPlan, drawWeather, pick, type Plan } from './schedule.ts'

/** All are waited for, and nobody dies: so all get the image, unless the policy is to drop who cannot keep up. */
function expectEverybody(given: Plan): void {
  const plan = { ...given, sender: { ...given.sender, minReceivers: given.receivers.length } }
  const world = runPlan(plan)
  const mayDrop = plan.sender.onSlow === 'drop'
  for (const outcome of outcomes(world)) {
    expect(mayDrop ? ['complete', 'RECEIVER_DROPPED'] : ['complete']).toContain(outcome)
  }
  // Where it is never calm, ten times Done may get lost: then the sender does not know.
  if (!mayDrop && plan.calmUs < Infinity) expect(world.sender.outcome).toEqual({})
}

test.each(groups)('any weather, then calm: everybody gets the image, group %d', (group) => {
  for (const own of seedsOf(group)) {
    replayable(chosenSeed(own), (seed) => {
      const { random, plan } = drawPlan(seed)
      expectEverybody({ ...plan, troubles: drawWeather(random, plan) })
    })
  }
})

test('a network that never gets better, but lets two fifths through: everybody gets the image', () => {
  for (const own of seedsOf(0)) {
    replayable(chosenSeed(own), (seed) => {
      const { random, plan } = drawPlan(seed)
      const { delayUs } = plan
      const receivers = plan.receivers.map((receiver) => {
        const [down, up] = [pick(random, 0.1, 0.3, 0.6), pick(random, 0.1, 0.3, 0.6)]
        return { ...receiver, path: { down: { delayUs, lossRatio: down }, up: { delayUs, lossRatio: up } } }
      })
      expectEverybody({ ...plan, receivers, calmUs: Infinity, troubles: [] })
    })
  }
})
