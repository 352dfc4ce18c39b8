import { expect, it } from 'vitest'
import { send, type SendOptions } from '../../../src/sender/index.ts'

/** What a program in JavaScript may give. */
const sendAny = (options: object) => () => send(options as SendOptions)

it('refuses at once what is neither a path nor a source', () => {
  expect(sendAny({})).toThrow(
    new TypeError('source must be a path or an object with readInto or extents, got undefined'),
  )
  expect(sendAny({ source: {} })).toThrow(TypeError)
  expect(sendAny({ source: '' })).toThrow(new RangeError('source must be a path, got ""'))
})
