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

it('refuses parts of what is counted', () => {
  expect(sendAny({ source: '-', minReceivers: 1.5 })).toThrow(
    new RangeError('minReceivers must be a whole number from 0 to 16384, got 1.5'),
  )
  for (const name of ['ttl', 'windowSlices', 'feedbackPort']) {
    expect(sendAny({ source: '-', [name]: 20.5 }), name).toThrow(RangeError)
  }
})
