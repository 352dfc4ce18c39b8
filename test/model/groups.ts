/** Seeds that one test file tries. */
const SEED_COUNT = Number(process.env['MODEL_SEEDS'] ?? 100)

const GROUP_COUNT = 10

/** Groups of seeds, a test each, so that the run shows how far it is. */
export const groups: readonly number[] = Array.from({ length: GROUP_COUNT }, (_, group) => group)

/** The seeds of a group; one when the environment names the seed to replay. */
export function seedsOf(group: number): number[] {
  const count = process.env['SIM_SEED'] === undefined ? Math.ceil(SEED_COUNT / GROUP_COUNT) : 1
  return Array.from({ length: count }, (_, index) => index * GROUP_COUNT + group + 1)
}
