import { describe, expect, it } from 'vitest'
import {
  choiceParser,
  countParser,
  parseFec,
  parseRatio,
  sizeParser,
  textParser,
  timeParser,
  type ValueParser,
} from '../../../src/cli/option-values.ts'
import { SkilfishError } from '../../../src/errors.ts'

function expectRefusal(parse: ValueParser<unknown>, text: string, expectation: string): void {
  const refusal = (): unknown => parse(text)
  expect(refusal).toThrow(SkilfishError)
  expect(refusal).toThrow(expectation)
}

describe('a time', () => {
  const parse = timeParser(1)

  it.each([
    ['10', 10_000],
    ['0.25', 250],
    ['500ms', 500],
    ['1.5s', 1500],
    ['2m', 120_000],
    ['2 min', 120_000],
    ['1h', 3_600_000],
    [' 7 ', 7000],
  ])('reads %j as %d ms', (text, ms) => {
    expect(parse(text)).toBe(ms)
  })

  it.each(['', 's', '-1', '1d', '1.', '.5', '1e3', 'ten', '10 20', 'NaN', 'Infinity', '1toString'])(
    'refuses %j',
    (text) => {
      expectRefusal(parse, text, `cannot use ${JSON.stringify(text)}: expected a time such as`)
    },
  )

  it('keeps its bounds', () => {
    expect(timeParser(1000)('1')).toBe(1000)
    expectRefusal(timeParser(1000), '999ms', 'expected at least 1 s')
    expectRefusal(parse, '0', 'expected at least 1 ms')
    expect(timeParser(0)('0')).toBe(0)
    expect(parse('555h')).toBe(1_998_000_000)
    expectRefusal(parse, '556h', 'expected at most 555h')
  })
})

describe('a count', () => {
  const parse = countParser(1, 255)

  it('reads whole numbers within bounds', () => {
    expect(parse('1')).toBe(1)
    expect(parse('255')).toBe(255)
  })

  it.each(['0', '256', '-1', '1.5', '', 'x', '0x10', '1e2', '99999999999999999999'])('refuses %j', (text) => {
    expectRefusal(parse, text, 'expected a whole number from 1 to 255')
  })
})

describe('a size', () => {
  const parse = sizeParser(16_384, 1_048_576, 4096)

  it.each([
    ['16384', 16_384],
    ['64K', 65_536],
    ['64k', 65_536],
    ['64KiB', 65_536],
    ['1M', 1_048_576],
    ['1 MiB', 1_048_576],
  ])('reads %j as %d bytes', (text, bytes) => {
    expect(parse(text)).toBe(bytes)
  })

  it.each(['12K', '2M', '16385', '', 'K', '1G', '-64K', '64.0K'])('refuses %j', (text) => {
    expectRefusal(parse, text, 'expected a multiple of 4096 from 16K to 1024K')
  })
})

describe('proactive parity', () => {
  it.each([
    ['auto', 'auto'],
    ['off', 'off'],
    ['5', 5],
    ['12.5%', 12.5],
    ['100 %', 100],
    ['0', 0],
  ])('reads %j', (text, value) => {
    expect(parseFec(text)).toBe(value)
  })

  it.each(['', 'on', '101', '-1', '5x', 'AUTO'])('refuses %j', (text) => {
    expectRefusal(parseFec, text, 'expected auto, off or a percentage from 0 to 100')
  })
})

describe('a share of packets to drop', () => {
  it.each([
    ['0', 0],
    ['0.02', 0.02],
    ['.5', 0.5],
    ['0.9', 0.9],
  ])('reads %j', (text, ratio) => {
    expect(parseRatio(text)).toBe(ratio)
  })

  it.each(['', '1', '0.91', '-0.1', '2%'])('refuses %j', (text) => {
    expectRefusal(parseRatio, text, 'expected a share from 0 to 0.9')
  })
})

it('takes one of a few words, as they are written', () => {
  const parse = choiceParser(['wait', 'defer', 'drop'])
  expect(parse('defer')).toBe('defer')
  expectRefusal(parse, 'Defer', 'expected one of wait, defer, drop')
})

it('takes texts that the protocol can carry, counted in bytes', () => {
  const parse = textParser(6)
  expect(parse('äöü')).toBe('äöü')
  expectRefusal(parse, 'äöüx', 'expected at most 6 bytes')
  expectRefusal(parse, '', 'expected a text that is not empty')
})
