import { expect, it } from 'vitest'
import { receive, type ReceiveOptions } from '../../../src/receiver/index.ts'

/** What a program in JavaScript may give. */
const receiveAny = (options: object) => () => receive(options as ReceiveOptions)

it('refuses at once what is neither a path nor a sink', () => {
  expect(receiveAny({})).toThrow(new TypeError('target must be a path or an object with write, got undefined'))
  expect(receiveAny({ target: 5 })).toThrow(TypeError)
  // An empty variable in a script: it would wait for a sender before it fails.
  expect(receiveAny({ target: '' })).toThrow(new RangeError('target must be a path, got ""'))
})

it('refuses parts of what is counted', () => {
  for (const name of ['ttl', 'bufferSlices']) {
    expect(receiveAny({ target: '/dev/null', [name]: 20.5 }), name).toThrow(/must be a whole number/)
  }
})
