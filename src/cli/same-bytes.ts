import { open } from 'node:fs/promises'

/** Bytes compared at once. */
const CHUNK_BYTES = 4 * 1024 * 1024

/** Tells for each of `copies` whether it holds the same bytes as `original`, and as many. */
export async function haveSameBytes(original: string, copies: readonly string[]): Promise<boolean[]> {
  const files = await Promise.all(
    [original, ...copies].map(async (path) => ({ handle: await open(path), chunk: newChunk() })),
  )
  const verdicts = copies.map(() => true)
  try {
    for (let offset = 0; ; offset += CHUNK_BYTES) {
      const pieces = await Promise.all(
        files.map(async ({ handle, chunk }) => {
          const { bytesRead } = await handle.read(chunk, 0, CHUNK_BYTES, offset)
          return chunk.subarray(0, bytesRead)
        }),
      )
      const [wanted, ...got] = pieces
      for (const [index, piece] of got.entries()) verdicts[index] &&= piece.equals(wanted!)
      if (wanted!.length === 0) return verdicts
    }
  } finally {
    await Promise.all(files.map(({ handle }) => handle.close()))
  }
}

const newChunk = (): Buffer<ArrayBuffer> => Buffer.allocUnsafe(CHUNK_BYTES)
