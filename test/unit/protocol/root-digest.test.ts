import { createHash } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { ROOT_GROUP_SLICES, RootDigest, type Hash } from '../../../src/protocol/index.ts'

const sha256: Hash = (...parts) => {
  const hash = createHash('sha256')
  for (const part of parts) hash.update(part)
  return Uint8Array.from(hash.digest())
}

const digestOf = (sliceIndex: number): Uint8Array => sha256(Buffer.from(`slice ${sliceIndex}`))

/** All at once, as docs/protocol.md says it. */
function reference(imageBytes: bigint, sliceCount: number): Uint8Array {
  const head = Buffer.alloc(12)
  head.writeBigUInt64BE(imageBytes)
  head.writeUInt32BE(sliceCount, 8)
  const digests = Array.from({ length: sliceCount }, (_, index) => digestOf(index))
  const groups: Uint8Array[] = []
  while (digests.length > 0) groups.push(sha256(...digests.splice(0, ROOT_GROUP_SLICES)))
  return sha256(head, ...groups)
}

function rootOf(order: readonly number[], imageBytes: number, sliceCount: number): Uint8Array {
  const root = new RootDigest(sha256)
  for (const sliceIndex of order) root.add(sliceIndex, digestOf(sliceIndex))
  return root.finish(imageBytes, sliceCount)
}

const upTo = (count: number): number[] => Array.from({ length: count }, (_, index) => index)

describe('the root digest', () => {
  it.each([0, 1, 1023, 1024, 1025, 3000])('of %i slices is that of the reference', (sliceCount) => {
    expect(rootOf(upTo(sliceCount), 2 ** 40 + 3, sliceCount)).toEqual(reference(2n ** 40n + 3n, sliceCount))
  })

  it('does not depend on the order of slices', () => {
    expect(rootOf(upTo(2500).reverse(), 7, 2500)).toEqual(rootOf(upTo(2500), 7, 2500))
  })

  it('tells apart images that differ only in size or in the order of their slices', () => {
    const swapped = new RootDigest(sha256)
    swapped.add(0, digestOf(1))
    swapped.add(1, digestOf(0))
    expect(swapped.finish(100, 2)).not.toEqual(rootOf([0, 1], 100, 2))
    expect(rootOf([0, 1], 101, 2)).not.toEqual(rootOf([0, 1], 100, 2))
  })

  it('copies the digests', () => {
    const root = new RootDigest(sha256)
    const digest = digestOf(0)
    root.add(0, digest)
    digest.fill(0)
    expect(root.finish(100, 1)).toEqual(rootOf([0], 100, 1))
  })

  it.each([
    ['the last', upTo(4), 5],
    ['one in the middle', [0, 2], 3],
    ['a whole group', upTo(1024), 1025],
    ['one of a group that others follow', [...upTo(1023), ...upTo(1100).slice(1024)], 1100],
  ])('is not given while slices are missing: %s', (_, order, sliceCount) => {
    expect(() => rootOf(order, 100, sliceCount)).toThrow(RangeError)
  })

  it.each([31, 33])('takes no digest of %i bytes', (length) => {
    expect(() => new RootDigest(sha256).add(0, new Uint8Array(length))).toThrow(RangeError)
  })
})
