import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import {
  Codec,
  DATA_HEADER_BYTES,
  encodeControl,
  encodeDataFieldsInto,
  encodeFrameHeadInto,
  encodePrefixInto,
  frameHeadBytes,
  MAX_SYMBOL_COUNT,
  PacketType,
  planGeometry,
  sourceSymbolCount,
} from '../../../src/protocol/index.ts'
import * as params from '../../../src/protocol/params.ts'
import { parityReference } from '../../reference/reed-solomon.ts'
import { JOIN, SESSION, TAG } from './sample-messages.ts'

const read = (path: string): string => readFileSync(new URL(`../../../${path}`, import.meta.url), 'utf8')

const page = read('docs/protocol.md')

/** The bytes of the page's hex examples, in order: digits up to two spaces, the rest of a line is comment. */
const examples = [...page.matchAll(/^```hex\n(.*?)^```$/gms)].map(([, lines]) =>
  lines!
    .split('\n')
    .map((line) => line.split('  ')[0]!.replaceAll(' ', ''))
    .join(''),
)

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')

/** Cells of the page's table rows, numbers without their commas. */
const rows = [...page.matchAll(/^\|(.*)\|$/gm)].map(([, cells]) =>
  cells!.split('|').map((cell) => cell.trim().replace(/(?<=\d),(?=\d)/g, '')),
)

describe('docs/protocol.md shows', () => {
  it('a data packet', () => {
    const packet = new Uint8Array(DATA_HEADER_BYTES)
    encodePrefixInto(packet, 0, PacketType.data, SESSION, TAG)
    encodeDataFieldsInto(packet, 0, 812, 262_208, 183)
    expect(examples[0]).toBe(hex(packet))
  })

  it('the head of a frame', () => {
    const runs = [
      { offset: 12_288, lengthBytes: 4096, isZero: false },
      { offset: 20_480, lengthBytes: 65_536, isZero: true },
    ]
    const head = new Uint8Array(frameHeadBytes(runs.length))
    encodeFrameHeadInto(head, { codec: Codec.none, spanStart: 8192, plainBytes: 4096, runs })
    expect(examples[1]).toBe(hex(head))
  })

  it('parity symbols', () => {
    const parity = [2, 3, MAX_SYMBOL_COUNT - 1].map((symbol) => parityReference(Uint8Array.of(1, 2), 1, symbol))
    expect(examples[2]).toBe(hex(Buffer.concat(parity)))
  })

  it('a control packet', () => {
    expect(examples[3]).toBe(hex(encodeControl(JOIN, SESSION, TAG)))
    expect(examples).toHaveLength(4)
  })

  it('geometries', () => {
    const shown = rows
      .filter((cells) => cells.length === 6 && /^\d+$/.test(cells[0]!))
      .map((cells) => cells.map(Number))
    expect(shown).toHaveLength(5)
    for (const [mtuBytes, family, packetBytes, symbolBytes, sliceBytes, k] of shown) {
      const geometry = planGeometry({ family: family === 4 ? 4 : 6, mtuBytes })
      expect(geometry).toEqual({ packetBytes, symbolBytes, sliceBytes })
      expect(sourceSymbolCount(frameHeadBytes(1) + geometry.sliceBytes, geometry.symbolBytes)).toBe(k)
    }
  })

  it('every number of params.ts, and no other', () => {
    const expected = Object.entries(params).flatMap(([name, value]) =>
      typeof value === 'object'
        ? Object.entries(value).map(([key, limit]) => [`${name}.${key}`, String(limit)])
        : [[name, String(value)]],
    )
    const shown = rows
      .filter(([name]) => /^`[A-Z][A-Z0-9_]+(\.\w+)?`$/.test(name!))
      .map(([name, value]) => [name!.replaceAll('`', ''), value])
    expect(Object.fromEntries(shown)).toEqual(Object.fromEntries(expected))
    expect(shown).toHaveLength(expected.length)
  })

  it('every field of control.proto', () => {
    const proto = read('src/protocol/control.proto').split('message Announce')[1]!
    const fields = [...proto.matchAll(/^ {2}(?:optional |repeated )?\w+ (\w+) = \d+;/gm)].map(([, field]) => field!)
    expect(fields.length).toBeGreaterThan(40)
    const unnamed = fields.filter((field) => !new RegExp(`\`(\\w+\\.)?${field}\``).test(page))
    expect(unnamed.filter((field) => field !== 'feedback')).toEqual([])
  })
})

it('docs/glossary.md explains each word once', () => {
  const words = [...read('docs/glossary.md').matchAll(/^\| (?!word|---)([^|]+) \|/gm)].map(([, word]) => word)
  expect(words.length).toBeGreaterThan(50)
  expect(new Set(words).size).toBe(words.length)
})
