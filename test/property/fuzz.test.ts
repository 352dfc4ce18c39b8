import { describe, expect, test } from 'vitest'
import { readCorpus } from '../fuzz/corpus.ts'
import { fuzz } from '../fuzz/fuzz.ts'
import { mutate } from '../fuzz/mutator.ts'
import { targets } from '../fuzz/targets.ts'
import { seededRandom } from '../../src/random.ts'

/** Always the same inputs, unless FUZZ_SEED says otherwise; a failure tells how to take its input again. */
const SEED = Number(process.env['FUZZ_SEED'] ?? 1)

/** Those of which each input takes about a millisecond. */
const SLOW_TARGETS: readonly string[] = ['keys', 'lzop', 'consumer']

// The short run; `npm run fuzz` is the long one.
describe(`any bytes, seed ${SEED},`, () => {
  test.each(targets.map((target) => [target.name, target] as const))('do no harm to %s', async (_, target) => {
    const wanted = SLOW_TARGETS.includes(target.name) ? 1000 : 5000
    const { packets } = await fuzz(target, readCorpus(target), { packets: wanted, seed: SEED })
    expect(packets).toBeGreaterThanOrEqual(wanted)
  })
})

test('a target that throws is told with its input', async () => {
  const target = {
    ...{ name: 'bad', seeds: () => [] },
    run: (input: Uint8Array) => {
      if (input.length > 2) throw new Error('too long')
      return 1
    },
  }
  const failing = fuzz(target, [Uint8Array.of(1)], { packets: 1e6, seed: 1 })
  await expect(failing).rejects.toThrow(/^bad: too long\nreplay: npm run fuzz -- --target bad --input [0-9a-f]{6,}$/)
})

test('mutations differ, are bounded, and leave their origin alone', () => {
  const random = seededRandom(1)
  const corpus = [new Uint8Array(4000), Uint8Array.of(1, 2, 3)]
  const made = Array.from({ length: 2000 }, () => mutate(random, corpus))
  expect(Math.max(...made.map(({ length }) => length))).toBeLessThanOrEqual(4096)
  expect(new Set(made.map((bytes) => Buffer.from(bytes).toString('hex'))).size).toBeGreaterThan(1000)
  expect(corpus).toEqual([new Uint8Array(4000), Uint8Array.of(1, 2, 3)])
})
