import { expect, it } from 'vitest'
import { send, type SendOptions } from '../../../src/sender/index.ts'

/** What a program in JavaScript may give. */
const sendAny = (options: object) => () => send(options as SendOptions)

it('refuses at once what is neither a path nor a source', () => {
  expect(sendAny({})).toThrow(
    new TypeError('source must be a path or an object with nextData, readInto, or with extents, got undefined'),
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

it('refuses what it has no option for, and what is of another type', () => {
  expect(() => send(undefined as unknown as SendOptions)).toThrow(
    new TypeError('send takes an object of options, got undefined'),
  )
  expect(sendAny({ source: '-', minReceiver: 2 })).toThrow(/^send has no option minReceiver; it has source, group, /)
  const wrong: readonly (readonly [object, string])[] = [
    [{ interface: 5 }, 'interface must be a string, got number'],
    [{ mtuBytes: '1500' }, 'mtuBytes must be a number, got string'],
    [{ signKey: 5 }, 'signKey must be a path or a key, got number'],
    [{ signal: {} }, 'signal must be an AbortSignal, got object'],
    [{ onProgress: 'x' }, 'onProgress must be a function, got string'],
    [{ offload: false }, 'offload must be auto or off, got false'],
  ]
  for (const [options, message] of wrong) {
    expect(sendAny({ source: '-', ...options })).toThrow(new TypeError(message))
  }
})

it('refuses a source that lacks a part', () => {
  const readInto = (): Promise<void> => Promise.resolve()
  const wanted = 'source must be a path or an object with nextData, readInto, or with extents, got object'
  expect(sendAny({ source: { label: 'x', sizeBytes: 5, readInto } })).toThrow(new TypeError(wanted))
  expect(sendAny({ source: { label: 'x', extents: 5 } })).toThrow(new TypeError(wanted))
  const extents = (): never[] => []
  expect(sendAny({ source: { extents } })).toThrow(new TypeError('source.label must be a string, got undefined'))
})
