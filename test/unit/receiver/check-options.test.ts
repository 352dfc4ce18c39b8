import { expect, it } from 'vitest'
import { receive, verifyTarget, type ReceiveOptions, type VerifyOptions } from '../../../src/receiver/index.ts'

/** What a program in JavaScript may give. */
const receiveAny = (options: object) => () => receive(options as ReceiveOptions)

it('refuses at once what is neither a path nor a sink', () => {
  expect(receiveAny({})).toThrow(
    new TypeError('target must be a path or an object with open, write, zero, finish, abort, got undefined'),
  )
  expect(receiveAny({ target: 5 })).toThrow(TypeError)
  // An empty variable in a script: it would wait for a sender before it fails.
  expect(receiveAny({ target: '' })).toThrow(new RangeError('target must be a path, got ""'))
})

it('refuses parts of what is counted', () => {
  for (const name of ['ttl', 'bufferSlices']) {
    expect(receiveAny({ target: '/dev/null', [name]: 20.5 }), name).toThrow(/must be a whole number/)
  }
})

it('refuses what it has no option for, and what is of another type', () => {
  expect(() => receive(undefined as unknown as ReceiveOptions)).toThrow('receive takes an object of options')
  expect(receiveAny({ target: '/dev/null', iface: 'lo' })).toThrow(
    /^receive has no option iface; it has target, group, /,
  )
  expect(receiveAny({ target: '/dev/null', resume: 1 })).toThrow(new TypeError('resume must be a boolean, got number'))
  expect(receiveAny({ target: '/dev/null', offload: 'no' })).toThrow(
    new TypeError('offload must be auto or off, got no'),
  )
  expect(receiveAny({ target: { label: 'x', write: () => undefined } })).toThrow(/an object with open, write, zero/)
})

it('refuses to verify what is no path', async () => {
  await expect(verifyTarget({} as VerifyOptions)).rejects.toThrow(new TypeError('target must be a path, got undefined'))
})
