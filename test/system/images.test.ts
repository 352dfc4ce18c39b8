import { readFileSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { loadLibc } from '../../src/io/index.ts'
import { runCommand } from '../lab/command.ts'
import {
  allocatedBytes,
  firstDifference,
  requireIdentical,
  writeEmptyImage,
  writeIslandImage,
  writeRandomImage,
} from '../lab/images.ts'
import { rootfsImage } from '../lab/rootfs-image.ts'
import { useTemporaryFolder } from '../unit/io/temporary-folder.ts'

const MIB = 1024 ** 2
const libc = loadLibc()

const at = useTemporaryFolder()

describe('random images', () => {
  test('are the same for the same seed, and do not shrink', async () => {
    await writeRandomImage(at('a'), 9 * MIB + 5, 1)
    await writeRandomImage(at('b'), 9 * MIB + 5, 1)
    await writeRandomImage(at('c'), 9 * MIB + 5, 2)
    expect(statSync(at('a')).size).toBe(9 * MIB + 5)
    expect(await firstDifference(at('a'), at('b'))).toBeUndefined()
    expect(await firstDifference(at('a'), at('c'))).toBeLessThan(8)
    expect(runCommand('sh', ['-c', `gzip -1 < ${at('a')} | wc -c`]).trim()).toMatch(/^9\d{6}$/)
  })

  test('may have no bytes at all', async () => {
    await writeRandomImage(at('a'), 0, 1)
    await writeEmptyImage(at('b'), 0)
    expect(await firstDifference(at('a'), at('b'))).toBeUndefined()
  })
})

describe('sparse images', () => {
  test('hold the islands that were asked for, and nothing between them', async () => {
    const pattern = { sizeBytes: 1024 * MIB + 7, islandCount: 40, islandBytes: 100_000, seed: 5 }
    await writeIslandImage(at('a'), pattern)
    await writeIslandImage(at('b'), pattern)
    await writeIslandImage(at('c'), { ...pattern, seed: 6 })
    expect(statSync(at('a')).size).toBe(1024 * MIB + 7)
    expect(allocatedBytes(at('a'))).toBeGreaterThan(500_000)
    expect(allocatedBytes(at('a'))).toBeLessThan(40 * (100_000 + 2 * 4096))
    expect(await firstDifference(at('a'), at('b'))).toBeUndefined()
    expect(await firstDifference(at('a'), at('c'))).toBeDefined()
  })

  test('can be one hole, which equals written zeros', async () => {
    await writeEmptyImage(at('hole'), 3 * MIB)
    writeFileSync(at('zeros'), Buffer.alloc(3 * MIB))
    expect(allocatedBytes(at('hole'))).toBe(0)
    expect(await firstDifference(at('hole'), at('zeros'))).toBeUndefined()
    expect(await firstDifference(at('zeros'), at('hole'))).toBeUndefined()
  })
})

describe('the first difference', () => {
  test.each([0, 4095, 4096, 4 * MIB - 1, 4 * MIB, 6 * MIB, 10 * MIB - 1])('is found at %d', async (offset) => {
    await writeIslandImage(at('a'), { sizeBytes: 10 * MIB, islandCount: 2, islandBytes: MIB, seed: 1 })
    const changed = readFileSync(at('a'))
    changed[offset]! ^= 1
    writeFileSync(at('b'), changed)
    expect(await firstDifference(at('a'), at('b'))).toBe(offset)
    expect(await firstDifference(at('b'), at('a'))).toBe(offset)
    await expect(requireIdentical(at('a'), at('b'))).rejects.toThrow(
      `/b differs from ${at('a')} from byte ${offset} on`,
    )
    await requireIdentical(at('a'), at('a'))
  })

  test('of a file and its beginning is where that ends', async () => {
    await writeRandomImage(at('whole'), 5 * MIB, 1)
    await writeRandomImage(at('part'), 4 * MIB, 1)
    await writeEmptyImage(at('hole'), 6 * MIB)
    await writeEmptyImage(at('shorter hole'), 5 * MIB + 3)
    expect(await firstDifference(at('whole'), at('part'))).toBe(4 * MIB)
    expect(await firstDifference(at('shorter hole'), at('hole'))).toBe(5 * MIB + 3)
  })

  test.skipIf(libc === undefined)('of large sparse files takes no time', async () => {
    await writeEmptyImage(at('a'), 1024 ** 4)
    await writeEmptyImage(at('b'), 1024 ** 4)
    expect(await firstDifference(at('a'), at('b'))).toBeUndefined()
  })
})

describe('the root filesystem image', () => {
  // Another size than that of the benchmarks, so that their image stays as it is.
  const options = { contentBytes: 40 * MIB, sizeBytes: 256 * MIB }

  test('is a sound file system of about the size that was asked for, mostly holes', () => {
    const path = rootfsImage(options)
    expect(statSync(path).size).toBe(256 * MIB)
    expect(allocatedBytes(path)).toBeGreaterThan(38 * MIB)
    expect(allocatedBytes(path)).toBeLessThan(60 * MIB)
    runCommand('e2fsck', ['-f', '-n', path])
    expect(runCommand('debugfs', ['-R', 'ls -p /usr', path])).toMatch(/\/(bin|lib|share)\//)
  })

  test('is made once', () => {
    const path = rootfsImage(options)
    utimesSync(path, 1000, 1000)
    expect(rootfsImage(options)).toBe(path)
    expect(statSync(path).mtimeMs).toBe(1_000_000)
  })
})
