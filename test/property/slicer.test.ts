import fc from 'fast-check'
import { expect, it } from 'vitest'
import { RandomAccessSlicer, StreamSlicer, type Extent, type Range, type Slice } from '../../src/sparse/index.ts'
import { MemorySource, streamOf } from '../unit/sparse/images.ts'

const SLICE_BYTES = 16_384
const PAGES = 40

/** Stretches of bytes other than zero, few to a page or many pages long. */
const stretches = fc.array(fc.tuple(fc.nat(PAGES * 4096), fc.oneof(fc.nat(10), fc.nat(5000), fc.nat(40_000))), {
  maxLength: 12,
})
const cuts = fc.array(fc.nat(PAGES * 4096), { maxLength: 30 })
const sizes = fc.oneof(
  fc.integer({ min: 0, max: PAGES * 4096 }),
  fc.integer({ min: 0, max: PAGES }).map((n) => n * 4096),
)

function imageFrom(sizeBytes: number, parts: readonly (readonly [number, number])[]): Uint8Array {
  const image = new Uint8Array(sizeBytes)
  parts.forEach(([start, length], index) => image.fill(index + 1, start, start + length))
  return image
}

/** All of the image in pieces that begin at the cuts; of those without data, every other is left out. */
function pieces(image: Uint8Array, at: readonly number[]): Range[] {
  const edges = [...new Set([0, ...at.filter((cut) => cut < image.length), image.length])].sort((a, b) => a - b)
  const all = edges.slice(1).map((end, index) => ({ start: edges[index]!, end }))
  return all.filter(({ start, end }, index) => index % 2 === 0 || image.subarray(start, end).some((byte) => byte !== 0))
}

/** `toEqual` takes milliseconds for arrays of this size. */
const areSame = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0

function expectSame(actual: Cut, expected: Cut): void {
  expect(actual.slices).toEqual(expected.slices)
  expect(actual.plain.every((plain, index) => areSame(plain, expected.plain[index]!))).toBe(true)
}

interface Cut {
  readonly slices: readonly Slice[]
  readonly plain: readonly Uint8Array[]
}

async function collect(read: (spanStart: number, into: Uint8Array) => Promise<Slice | undefined>): Promise<Cut> {
  const slices: Slice[] = []
  const plain: Uint8Array[] = []
  const into = new Uint8Array(SLICE_BYTES)
  for (;;) {
    const slice = await read(slices.at(-1)?.spanEnd ?? 0, into)
    if (slice === undefined) return { slices, plain }
    slices.push(slice)
    plain.push(into.slice(0, slice.plainBytes))
  }
}

const cutRandomAccess = (image: Uint8Array, ranges?: readonly Range[]): Promise<Cut> => {
  const slicer = new RandomAccessSlicer(new MemorySource(image, ranges), SLICE_BYTES)
  return collect((spanStart, into) => slicer.read(spanStart, into))
}

const cutStream = (extents: readonly Extent[], sizeBytes: number | undefined): Promise<Cut> => {
  const slicer = new StreamSlicer(streamOf(extents, sizeBytes), SLICE_BYTES)
  return collect((_, into) => slicer.read(into))
}

/** The image that the slices describe, over `stale` bytes; checks that spans tile and runs lie in them. */
function rebuild({ slices, plain }: Cut, sizeBytes: number): Uint8Array {
  const image = new Uint8Array(sizeBytes).fill(0x55)
  let end = 0
  slices.forEach((slice, index) => {
    expect(slice.spanStart).toBe(end)
    image.fill(0, slice.spanStart, slice.spanEnd)
    let at = 0
    for (const { offset, lengthBytes, isZero } of slice.runs) {
      expect(offset).toBeGreaterThanOrEqual(end)
      end = offset + lengthBytes
      if (isZero) continue
      image.set(plain[index]!.subarray(at, at + lengthBytes), offset)
      at += lengthBytes
    }
    expect([slice.spanEnd, slice.plainBytes]).toEqual([end, at])
  })
  return image.fill(0, end)
}

it('gives the same slices for the same image, however it is read and cut', async () => {
  await fc.assert(
    fc.asyncProperty(
      sizes,
      stretches,
      cuts,
      cuts,
      fc.boolean(),
      async (sizeBytes, parts, cutsA, cutsB, isSizeKnown) => {
        const image = imageFrom(sizeBytes, parts)
        const whole = await cutRandomAccess(image)
        expect(areSame(rebuild(whole, sizeBytes), image)).toBe(true)
        const full = whole.slices.slice(0, -1).map(({ plainBytes }) => plainBytes)
        expect(full.every((plainBytes) => plainBytes === SLICE_BYTES)).toBe(true)
        expectSame(await cutRandomAccess(image, pieces(image, cutsA)), whole)
        // Without a size, the end of the last extent tells it: an empty one marks it.
        const extents = pieces(image, cutsB).map(({ start, end }) => ({
          offset: start,
          data: image.subarray(start, end),
        }))
        const sizeMark = { offset: sizeBytes, data: new Uint8Array(0) }
        expectSame(await cutStream([...extents, sizeMark], isSizeKnown ? sizeBytes : undefined), whole)
      },
    ),
    { numRuns: 300 },
  )
})

it('gives the same slices when one is read again', async () => {
  await fc.assert(
    fc.asyncProperty(sizes, stretches, async (sizeBytes, parts) => {
      const image = imageFrom(sizeBytes, parts)
      const { slices, plain } = await cutRandomAccess(image)
      const slicer = new RandomAccessSlicer(new MemorySource(image), SLICE_BYTES)
      const into = new Uint8Array(SLICE_BYTES)
      for (const [index, slice] of [...slices.entries()].reverse()) {
        expect(await slicer.read(slice.spanStart, into)).toEqual(slice)
        expect(areSame(into.subarray(0, slice.plainBytes), plain[index]!)).toBe(true)
        expect(await slicer.read(slice.spanStart, into, slice.spanEnd)).toEqual(slice)
      }
    }),
    { numRuns: 50 },
  )
})

it('rebuilds an image from extents of data and zeros, within the run limit', async () => {
  const extent = fc.record({ gap: fc.nat(9000), length: fc.nat(9000), isZero: fc.boolean() })
  await fc.assert(
    fc.asyncProperty(fc.array(extent, { maxLength: 60 }), async (parts) => {
      let at = 0
      const extents: Extent[] = []
      const filled: Range[] = []
      for (const { gap, length, isZero } of parts) {
        const offset = at + gap
        at = offset + length
        extents.push(isZero ? { offset, zeroBytes: length } : { offset, data: new Uint8Array(length).fill(7) })
        if (!isZero) filled.push({ start: offset, end: at })
      }
      const image = new Uint8Array(at)
      for (const { start, end } of filled) image.fill(7, start, end)
      const cut = await cutStream(extents, undefined)
      expect(areSame(rebuild(cut, at), image)).toBe(true)
      for (const { runs } of cut.slices) expect(runs.length).toBeLessThanOrEqual(8)
    }),
    { numRuns: 200 },
  )
})
