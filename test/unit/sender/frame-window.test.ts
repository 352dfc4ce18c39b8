import { expect, test } from 'vitest'
import { FrameWindow } from '../../../src/sender/machine/frame-window.ts'

const filled = (count: number): FrameWindow => {
  const window = new FrameWindow(1000)
  for (let slice = 0; slice < count; slice++) window.add(slice, new Uint8Array(1000 * slice + 1))
  return window
}

test('knows a frame by its slice, and how many symbols it takes', () => {
  const window = filled(4)
  expect(window.frame(3)).toHaveLength(3001)
  expect(window.sourceSymbolCount(3)).toBe(4)
  expect([window.has(4), window.frame(4), window.sourceSymbolCount(4)]).toEqual([false, undefined, undefined])
})

test('gives back what is taken out', () => {
  const window = filled(2)
  const frame = window.frame(1)
  expect(window.remove(1)).toBe(frame)
  expect([window.remove(1), window.size, window.first]).toEqual([undefined, 1, 0])
})

test('finds the frame held longest that may go', () => {
  const window = filled(4)
  window.remove(0)
  window.add(0, new Uint8Array(1))
  expect(window.first).toBe(1)
  expect(window.oldest(() => true)).toBe(1)
  expect(window.oldest((slice) => slice === 0)).toBe(0)
  expect(window.oldest(() => false)).toBeUndefined()
  expect(new FrameWindow(1000).first).toBe(Infinity)
})

test('knows when a slice was sent', () => {
  const window = filled(2)
  window.noteSent(500, 1)
  window.noteSent(500, 7)
  expect([window.sentUs(0), window.sentUs(1), window.sentUs(7)]).toEqual([Infinity, 500, Infinity])
})

test('looks at the eight oldest only', () => {
  const window = filled(9)
  expect(window.oldest((slice) => slice === 7)).toBe(7)
  expect(window.oldest((slice) => slice === 8)).toBeUndefined()
})
