import { expect, it } from 'vitest'
import { checkedByLibrary, describeFailure, failureText } from '../../../src/cli/failure.ts'
import { ERROR_TABLE, EXIT_STATUS, SkilfishError, type ErrorCode } from '../../../src/errors.ts'

it.each(Object.keys(ERROR_TABLE) as ErrorCode[])('ends with the status of the table for %s', (code) => {
  const failure = describeFailure(new SkilfishError(code, 'cannot do it'))
  expect(failure).toEqual({
    ...{ code, message: 'cannot do it', remedy: ERROR_TABLE[code].remedy },
    exitStatus: EXIT_STATUS[ERROR_TABLE[code].exit],
  })
})

it('says what happened and what to do, without a stack', () => {
  const text = failureText('prog', describeFailure(new SkilfishError('PORT_IN_USE', 'cannot bind port 9')))
  expect(text).toBe(`prog: cannot bind port 9\n  ${ERROR_TABLE.PORT_IN_USE.remedy}`)
})

it('shows the stack of what is a fault in the program', () => {
  const failure = describeFailure(new Error('boom'))
  expect(failure).toMatchObject({ code: 'INTERNAL', exitStatus: EXIT_STATUS.internal })
  expect(failure.message).toMatch(/^Error: boom\n +at /)
  expect(describeFailure('text').message).toBe('text')
})

it('takes the mistakes that the library finds in options for those of the user', () => {
  const failing = (error: Error) => () =>
    checkedByLibrary(() => {
      throw error
    })
  expect(checkedByLibrary(() => 7)).toBe(7)
  expect(failing(new RangeError('ttl must be from 1 to 255'))).toThrow(
    new SkilfishError('OPTION_INVALID', 'ttl must be from 1 to 255'),
  )
  expect(failing(new TypeError('no text'))).toThrow(SkilfishError)
  const other = new Error('boom')
  expect(failing(other)).toThrow(other)
})

it.each(['INTERRUPTED', 'TARGET_FULL', 'SENDER_LOST', 'SENDER_ABORTED', 'RECEIVERS_FAILED'] as const)(
  'does not have what was received before %s thrown away',
  (code) => expect(ERROR_TABLE[code].remedy).toContain('--resume to keep what'),
)
