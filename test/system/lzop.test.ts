import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { LZOP_BLOCK_OVERHEAD_BYTES, LZOP_MAX_BLOCK_BYTES, type LzopOptions, LzopWriter } from '../../src/lzo/index.ts'
import { seededRandom } from '../../src/random.ts'
import { useTemporaryFolder } from '../unit/io/temporary-folder.ts'
import { readAll } from '../unit/lzo/read-all.ts'
import { noise, sampleBytes } from '../unit/lzo/sample.ts'

// Against the real lzop: apt install lzop.

const random = seededRandom(6)
const PLAIN: Readonly<Record<string, Uint8Array>> = {
  nothing: new Uint8Array(0),
  'one byte': Uint8Array.of(1),
  sample: sampleBytes(random, 1_000_000),
  noise: noise(random, 300_000),
  zeros: new Uint8Array(LZOP_MAX_BLOCK_BYTES * 2),
  'a program': readFileSync(process.execPath).subarray(0, 8_000_000),
}

const path = useTemporaryFolder()
const lzop = (...args: string[]): Buffer =>
  execFileSync('lzop', args, { cwd: path(), stdio: ['ignore', 'pipe', 'pipe'], maxBuffer: 2 ** 26 })

function write(plain: Uint8Array, blockBytes: number, options: LzopOptions): Buffer {
  const writer = new LzopWriter(options)
  const parts = [writer.header()]
  for (let start = 0; start < plain.length; start += blockBytes) {
    const into = new Uint8Array(blockBytes + LZOP_BLOCK_OVERHEAD_BYTES)
    parts.push(into.subarray(0, writer.blockInto(plain.subarray(start, start + blockBytes), into)))
  }
  return Buffer.concat([...parts, writer.end()])
}

describe.each(Object.entries(PLAIN))('%s', (_name, plain) => {
  it.each([
    ['adler32', LZOP_MAX_BLOCK_BYTES],
    ['crc32', 65_536],
    ['none', 4096],
  ] as const)('is accepted by lzop when we write it (%s, blocks of %i)', (checksum, blockBytes) => {
    writeFileSync(path('ours.lzo'), write(plain, blockBytes, { checksum }))
    lzop('-t', 'ours.lzo')
    expect(Buffer.compare(lzop('-dc', 'ours.lzo'), plain)).toBe(0)
  })

  it.each(['-1', '-3', '-7', '-9', '-F', '-C', '-CC', '--crc32', '--crc32 -CC', '-P'])(
    'is read by us when lzop writes it with %s',
    (options) => {
      writeFileSync(path('plain'), plain)
      const { header, blocks, end } = readAll([lzop(...options.split(' '), '-c', 'plain')])
      expect(end).toBeUndefined()
      expect(header?.name).toBe('plain')
      expect(Buffer.compare(Buffer.concat(blocks), plain)).toBe(0)
    },
  )
})

it('gives lzop name, mode and time, which it restores', () => {
  const options = { name: 'größe', mode: 0o100_600, mtimeSeconds: 1_234_567_890 }
  writeFileSync(path('ours.lzo'), write(Uint8Array.of(1, 2, 3), 4096, options))
  mkdirSync(path('out'))
  lzop('-dN', '-pout', 'ours.lzo')
  expect(readFileSync(path('out/größe'))).toEqual(Buffer.of(1, 2, 3))
  expect(statSync(path('out/größe')).mode).toBe(0o100_600)
  expect(statSync(path('out/größe')).mtimeMs).toBe(1_234_567_890_000)
})

it('learns name, mode and time from lzop', () => {
  writeFileSync(path('größe'), 'abc', { mode: 0o640 })
  utimesSync(path('größe'), 1_234_567_890, 1_234_567_890)
  expect(readAll([lzop('-c', 'größe')]).header).toEqual({
    name: 'größe',
    mode: 0o100_640,
    mtimeSeconds: 1_234_567_890,
  })
})

it('has lzop report what we report: a flipped bit, a missing end', () => {
  const file = write(PLAIN['sample']!, LZOP_MAX_BLOCK_BYTES, {})
  const flipped = Buffer.from(file)
  flipped[100]! ^= 1
  for (const bad of [flipped, file.subarray(0, -4)]) {
    writeFileSync(path('bad.lzo'), bad)
    expect(() => lzop('-t', 'bad.lzo')).toThrow('Command failed')
    expect(readAll([bad]).end).toBeDefined()
  }
})
