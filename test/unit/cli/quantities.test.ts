import { expect, it } from 'vitest'
import {
  formatBytes,
  formatCount,
  formatPercent,
  formatPosition,
  formatRunningTime,
  formatShare,
  formatTable,
  formatTime,
  shorten,
} from '../../../src/cli/quantities.ts'

it.each([
  [0, '0 bytes'],
  [1023, '1023 bytes'],
  [1024, '1 KiB'],
  [1536, '1.5 KiB'],
  [1023.4 * 1024, '1023 KiB'],
  [1023.6 * 1024, '1 MiB'],
  [851_443_712, '812 MiB'],
  [1.25 * 2 ** 30, '1.25 GiB'],
  [2 ** 53 - 1, '8 PiB'],
])('writes %d bytes as %s', (bytes, text) => {
  expect(formatBytes(bytes)).toBe(text)
})

it.each([
  [0, '0 s'],
  [423, '0.42 s'],
  [999, '1 s'],
  [7340, '7.3 s'],
  [8000, '8 s'],
  [9949, '9.9 s'],
  [9950, '10 s'],
  [59_499, '59 s'],
  [59_500, '1 min 00 s'],
  [185_000, '3 min 05 s'],
  [3_599_400, '59 min 59 s'],
  [3_599_500, '1 h 00 min'],
  [7_620_000, '2 h 07 min'],
])('writes %d ms as %s', (ms, text) => {
  expect(formatTime(ms)).toBe(text)
})

it.each([
  [0, 0, '0 %'],
  [0, 10, '0 %'],
  [1, 100_000, '<0.01 %'],
  [1, 2500, '0.04 %'],
  [21, 1000, '2.1 %'],
  [9949, 100_000, '9.9 %'],
  [995, 10_000, '10 %'],
  [380, 1000, '38 %'],
  [10, 10, '100 %'],
])('writes %d of %d as %s', (part, whole, text) => {
  expect(formatShare(part, whole)).toBe(text)
})

it('leaves out parts of a second while time runs', () => {
  expect(formatRunningTime(999)).toBe('0 s')
  expect(formatRunningTime(7999)).toBe('7 s')
})

it('says 100 % only when all is done', () => {
  expect(formatPercent(99.99)).toBe('99 %')
  expect(formatPercent(100)).toBe('100 %')
  expect(formatPercent(0)).toBe('0 %')
})

it('writes counts with their noun', () => {
  expect(formatCount(1, 'receiver')).toBe('1 receiver')
  expect(formatCount(0, 'receiver')).toBe('0 receivers')
})

it('writes a position with the size where it is known', () => {
  expect(formatPosition(1024, 2048)).toBe('1 KiB of 2 KiB')
  expect(formatPosition(1024, undefined)).toBe('1 KiB')
})

it('cuts long names', () => {
  expect(shorten('host', 4)).toBe('host')
  expect(shorten('hosts', 4)).toBe('hos…')
})

it('puts values into one column', () => {
  const rows = [
    ['a', '1'],
    ['long', '2'],
  ] as const
  expect(formatTable(rows)).toEqual(['  a     1', '  long  2'])
})
