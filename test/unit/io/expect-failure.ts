import { expect } from 'vitest'
import { SkilfishError, type ErrorCode } from '../../../src/errors.ts'

/** Expects a rejection with this code and a message of the house's form that holds all of `texts`. */
export async function expectFailure(
  promise: Promise<unknown> | undefined,
  code: ErrorCode,
  ...texts: readonly string[]
): Promise<void> {
  const error = await Promise.resolve(promise).then(
    () => 'no failure',
    (reason: unknown) => reason,
  )
  if (!(error instanceof SkilfishError)) throw new Error(`expected ${code}, got ${String(error)}`, { cause: error })
  expect(error.message).toMatch(/^cannot .*[^.]$/s)
  for (const text of texts) expect(error.message).toContain(text)
  expect(error.code).toBe(code)
}
