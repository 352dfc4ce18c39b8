import { DIGEST_BYTES } from './frame.ts'

/** SHA-256 of the concatenation of `parts`: injected, since pure folders have no crypto of their own. */
export type Hash = (...parts: readonly Uint8Array[]) => Uint8Array

/** Slices under one inner node of the root digest. Ours: a tree of two levels keeps memory at 32 bytes per 1024 slices. */
export const ROOT_GROUP_SLICES = 1024

/**
 * The digest of a whole image, from the digests of its slices in any order: SHA-256 over the image's size (8 bytes, big-endian),
 * its slice count (4 bytes) and, for each group of 1024 slices, the SHA-256 of their digests in order.
 *
 * Memory: 32 bytes a slice of each group that is not yet full, 32 bytes for each full group.
 */
export class RootDigest {
  readonly #hash: Hash
  readonly #open = new Map<number, { digests: Uint8Array; count: number }>()
  readonly #closed: (Uint8Array | undefined)[] = []

  constructor(hash: Hash) {
    this.#hash = hash
  }

  /**
   * Takes the digest (32 bytes, copied) of a slice. Each slice once.
   * @throws RangeError when the digest has another length
   */
  add(sliceIndex: number, digest: Uint8Array): void {
    if (digest.length !== DIGEST_BYTES) {
      throw new RangeError(`A digest must have ${DIGEST_BYTES} bytes, got ${digest.length}`)
    }
    const index = Math.floor(sliceIndex / ROOT_GROUP_SLICES)
    let group = this.#open.get(index)
    if (group === undefined) {
      group = { digests: new Uint8Array(ROOT_GROUP_SLICES * DIGEST_BYTES), count: 0 }
      this.#open.set(index, group)
    }
    group.digests.set(digest, (sliceIndex % ROOT_GROUP_SLICES) * DIGEST_BYTES)
    if (++group.count < ROOT_GROUP_SLICES) return
    this.#closed[index] = this.#hash(group.digests)
    this.#open.delete(index)
  }

  /**
   * The root over slices 0 to `sliceCount` - 1.
   * @throws RangeError when not all of them have been added
   */
  finish(imageBytes: number, sliceCount: number): Uint8Array {
    const head = new Uint8Array(12)
    const view = new DataView(head.buffer)
    view.setUint32(0, Math.floor(imageBytes / 4_294_967_296))
    view.setUint32(4, imageBytes >>> 0)
    view.setUint32(8, sliceCount)
    const groups: Uint8Array[] = []
    for (let index = 0; index * ROOT_GROUP_SLICES < sliceCount; index++) {
      const inGroup = Math.min(ROOT_GROUP_SLICES, sliceCount - index * ROOT_GROUP_SLICES)
      const open = this.#open.get(index)
      const digest =
        open !== undefined && open.count >= inGroup
          ? this.#hash(open.digests.subarray(0, inGroup * DIGEST_BYTES))
          : this.#closed[index]
      if (digest === undefined) {
        throw new RangeError(
          `Slices ${index * ROOT_GROUP_SLICES} to ${index * ROOT_GROUP_SLICES + inGroup - 1} must all be added first`,
        )
      }
      groups.push(digest)
    }
    return this.#hash(head, ...groups)
  }
}
