// What may never happen, and must happen in the end, when senders and receivers die and come back, in any weather. A failing seed
// is printed with the command that replays it. MODEL_SEEDS sets how many seeds each test file tries (npm run test:model: 2000).
import { test } from 'vitest'
import type { Random } from '../../src/random.ts'
import { chosenSeed, replayable } from '../sim/scenario.ts'
import type { SenderParty } from '../sim/sender-party.ts'
import type { World } from '../sim/world.ts'
import { groups, seedsOf } from './groups.ts'
import { runPlan } from './model.ts'
import { drawPlan, drawWeather, pick, upTo, type Plan, type Trouble } from './schedule.ts'

const SENDER = -1

/** Deaths at any moment before the calm; who comes back does so at any moment before it, too, or at once. */
function drawDeaths(random: Random, { calmUs, receivers }: Omit<Plan, 'troubles'>): Trouble[] {
  const troubles: Trouble[] = []
  const deaths = 1 + upTo(random, 4)
  for (let count = 0; count < deaths; count++) {
    const whom = upTo(random, receivers.length) + SENDER
    const atUs = 1 + upTo(random, calmUs - 2)
    const backUs = atUs + upTo(random, calmUs - atUs - 1)
    const isPowerCut = random() < 0.5
    const what = `${name(whom)} ${isPowerCut ? 'loses its power' : 'dies'}`
    troubles.push({ atUs, what, strike: (world) => kill(world, whom, isPowerCut) })
    troubles.push({ atUs: backUs, what: `${name(whom)} is started again`, strike: (world) => restart(world, whom) })
  }
  return troubles.sort((a, b) => a.atUs - b.atUs)
}

const name = (whom: number): string => (whom === SENDER ? 'the sender' : `receiver ${whom}`)

/** @param isPowerCut what a receiver has written and not flushed is lost */
function kill(world: World, whom: number, isPowerCut = false): void {
  if (whom === SENDER) world.sender.kill()
  else {
    const receiver = world.receivers[whom]
    receiver?.kill()
    if (isPowerCut) receiver?.target?.cutPower()
  }
}

/** A sender has a new session on the same image, a receiver what lies on its target, and goes on with it if there is a journal. */
function restart(world: World, whom: number): void {
  kill(world, whom)
  if (whom === SENDER) world.startSender()
  else world.startReceiver(whom)
}

/** Whether a receiver's end is one that the course of events explains. */
function isExplained(world: World, index: number): boolean {
  const party = world.receivers[index]!
  const { outcome } = party
  if (outcome === undefined) return false
  if (outcome.failed === undefined) return true
  const { sender } = world
  const isKnown = sender.machine.receivers().some(({ id }) => id === party.id)
  const isDroppedFor = ({ machine, canReread, onSlow }: SenderParty): boolean =>
    (onSlow === 'drop' || !canReread) &&
    machine.receivers().some(({ id, state }) => id === party.id && state === 'dropped')
  switch (outcome.failed) {
    // The session was over before it could take part, or it was dropped and has not heard that.
    case 'NO_SENDER':
    case 'SENDER_LOST':
      return sender.outcome !== undefined && (!isKnown || isDroppedFor(sender))
    case 'SENDER_ABORTED':
      return sender.outcome !== undefined && !isKnown
    case 'DATA_GONE':
    case 'RECEIVER_DROPPED':
      return world.senders.some(isDroppedFor)
    default:
      return false
  }
}

test.each(groups)('deaths and returns in any weather, then calm: every end is explained, group %d', (group) => {
  for (const own of seedsOf(group)) {
    replayable(chosenSeed(own), (seed) => {
      const { random, plan } = drawPlan(seed)
      const sender = {
        ...plan.sender,
        minReceivers: pick(random, 0, 1, 1, plan.receivers.length),
        maxWaitUs: 3_000_000,
      }
      const troubles = [...(random() < 0.7 ? drawWeather(random, plan) : []), ...drawDeaths(random, plan)]
      const world = runPlan({ ...plan, sender, troubles })
      world.receivers.forEach((party, index) => {
        const { sender } = world
        const seen = { index, id: party?.id, outcome: party?.outcome, known: sender.machine.receivers() }
        if (!isExplained(world, index)) throw new Error(`an end without a cause: ${JSON.stringify(seen)}`)
      })
    })
  }
})
