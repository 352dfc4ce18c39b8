import { describe, expect, it } from 'vitest'
import { clipText, isWireText, LIMITS } from '../../../src/protocol/index.ts'

const LIMIT = LIMITS.textBytes

describe('a text for a control message', () => {
  it.each(['', 'node-1', 'ein Gerät', '日本', '😀', 'x'.repeat(LIMIT), 'é'.repeat(LIMIT / 2)])('may be %j', (text) => {
    expect(isWireText(text)).toBe(true)
    expect(clipText(text)).toBe(text)
  })

  it.each([
    ['a\nb', 'a\ufffdb'],
    ['\u001b[31mred', '\ufffd[31mred'],
    ['\u0085\u007f', '\ufffd\ufffd'],
    ['a\u2028b\u2029', 'a\ufffdb\ufffd'],
    ['half \ud83d', 'half \ufffd'],
    ['\ude00 half', '\ufffd half'],
    ['x'.repeat(LIMIT + 1), 'x'.repeat(LIMIT)],
    ['é'.repeat(LIMIT), 'é'.repeat(LIMIT / 2)],
    [`${'x'.repeat(LIMIT - 3)}😀`, 'x'.repeat(LIMIT - 3)],
    [`${'x'.repeat(LIMIT - 1)}é`, 'x'.repeat(LIMIT - 1)],
    [`${'😀'.repeat(LIMIT / 4)}x`, '😀'.repeat(LIMIT / 4)],
    ['x'.repeat(10_000_000), 'x'.repeat(LIMIT)],
  ])('is made fit', (text, clipped) => {
    expect(isWireText(text)).toBe(false)
    expect(clipText(text)).toBe(clipped)
    expect(isWireText(clipped)).toBe(true)
  })
})
