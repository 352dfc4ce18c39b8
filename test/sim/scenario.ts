import { expect } from 'vitest'
import { World, type WorldSpec } from './world.ts'

/** The seed of a scenario: its own, or that of the environment, to replay a failure. */
export const chosenSeed = (seed: number): number => Number(process.env['SIM_SEED'] ?? seed)

/**
 * Runs a world to its end.
 * @throws Error with the seed and the command that replays it
 */
export function simulate(spec: WorldSpec): World {
  return replayable(chosenSeed(spec.seed), (seed) => new World({ ...spec, seed }).run())
}

/** Does something with a seed; an error tells how to do it again. */
export function replayable<Result>(seed: number, act: (seed: number) => Result): Result {
  try {
    return act(seed)
  } catch (error) {
    const { testPath = '', currentTestName = '' } = expect.getState()
    const file = testPath.slice(testPath.lastIndexOf('/test/') + 1)
    const name = currentTestName.replaceAll(' > ', ' ').replaceAll("'", '.')
    const project = file.split('/')[1] ?? ''
    const command = `SIM_SEED=${seed} npx vitest run --project ${project} ${file} -t '${name}'`
    throw new Error(`${(error as Error).message}\nreplay: ${command}`, { cause: error })
  }
}

/** What became of each receiver: `complete`, the code of its failure, `running` or `absent`. */
export const outcomes = (world: World): string[] =>
  world.receivers.map((receiver) => {
    if (receiver === undefined) return 'absent'
    if (receiver.outcome === undefined) return 'running'
    return receiver.outcome.failed ?? 'complete'
  })

/** Runs a world and expects that every receiver has the image, and that the sender knows. */
export function simulateSuccess(spec: WorldSpec): World {
  const world = simulate(spec)
  const all = outcomes(world)
  if (world.sender.outcome?.failed !== undefined || all.some((outcome) => outcome !== 'complete')) {
    throw new Error(`seed ${chosenSeed(spec.seed)}: ${JSON.stringify(world.sender.outcome)}, ${all.join(', ')}`)
  }
  return world
}
