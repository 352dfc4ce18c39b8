import { describe, expect, it } from 'vitest'
import { SkilfishError } from '../../../src/errors.ts'
import { formatBitrate, MAX_BITS_PER_SEC, parseBitrate, parseCap } from '../../../src/ratelimit/index.ts'

describe('parseBitrate', () => {
  it.each([
    ['320M', 320e6],
    ['320m', 320e6],
    ['500k', 500e3],
    ['500K', 500e3],
    ['1.5G', 1.5e9],
    ['.5G', 0.5e9],
    ['0.1T', 100e9],
    ['1234', 1234],
    ['10 Mbit/s', 10e6],
    ['10Mb/s', 10e6],
    ['10Mbps', 10e6],
    ['40MB/s', 320e6],
    ['40MiB/s', 40 * 1024 * 1024 * 8],
    ['1Kib/s', 1024],
    ['100B/s', 800],
    ['1Gi', 1024 ** 3],
    [' 1G ', 1e9],
    ['400G', MAX_BITS_PER_SEC],
    ['0.6', 1],
  ])('reads %j', (text, bitsPerSec) => {
    expect(parseBitrate(text)).toBe(bitsPerSec)
  })

  it.each([
    ['', 'expected a rate such as'],
    ['M', 'expected a rate such as'],
    ['fast', 'expected a rate such as'],
    ['-1M', 'expected a rate such as'],
    ['1e6', 'expected a rate such as'],
    ['0x10', 'expected a rate such as'],
    ['1,5G', 'expected a rate such as'],
    ['1.G', 'expected a rate such as'],
    ['40MB', 'expected a rate such as'],
    ['5i', 'expected a rate such as'],
    ['5MBIT/s', 'expected a rate such as'],
    ['1  M', 'expected a rate such as'],
    ['Infinity', 'expected a rate such as'],
    ['0', 'above zero'],
    ['0.0000M', 'above zero'],
    ['400.1G', 'at most 400 Gbit/s'],
    ['51GB/s', 'at most 400 Gbit/s'],
  ])('refuses %j: %s', (text, reason) => {
    const attempt = (): number => parseBitrate(text)
    expect(attempt).toThrow(SkilfishError)
    expect(attempt).toThrow(expect.objectContaining({ code: 'OPTION_INVALID' }) as Error)
    expect(attempt).toThrow(reason)
    expect(attempt).toThrow(JSON.stringify(text))
  })
})

describe('formatBitrate', () => {
  it.each([
    [1, '1 bit/s'],
    [999, '999 bit/s'],
    [999.9, '1 kbit/s'],
    [1000, '1 kbit/s'],
    [320e6, '320 Mbit/s'],
    [1.2345e9, '1.23 Gbit/s'],
    [999.96e6, '1 Gbit/s'],
    [999.4e6, '999 Mbit/s'],
    [400e9, '400 Gbit/s'],
  ])('writes %d as %j, which parses', (bitsPerSec, text) => {
    expect(formatBitrate(bitsPerSec)).toBe(text)
    expect(parseBitrate(text) / bitsPerSec).toBeCloseTo(1, 2)
  })
})

it('parseCap takes rates from 10 kbit/s on', () => {
  expect(parseCap('10k')).toBe(10_000)
  expect(parseCap('40MB/s')).toBe(320_000_000)
  expect(() => parseCap('9999')).toThrow('cannot use the bit rate "9999": expected at least 10 kbit/s')
  expect(() => parseCap('fast')).toThrow('cannot use the bit rate "fast"')
})
