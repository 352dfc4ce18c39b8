import { readFileSync, truncateSync, writeFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { isIncompleteTarget, openSink } from '../../../src/io/index.ts'
import { isResumable, type ImageFacts, type ResumableSink } from '../../../src/sparse/index.ts'
import { expectFailure } from './expect-failure.ts'
import { useTemporaryFolder } from './temporary-folder.ts'

const path = useTemporaryFolder()
const SIZE_BYTES = 100_000
const IMAGE: ImageFacts = { name: 'disk.img', imageId: 'ab12', sizeBytes: SIZE_BYTES }

async function resumable(): Promise<ResumableSink> {
  const sink = await openSink(path('target'))
  if (!isResumable(sink)) throw new Error('expected a sink that can be gone on with')
  return sink
}

async function hasMark(mark: string): Promise<boolean> {
  const sink = await resumable()
  try {
    return await sink.hasMark(mark)
  } finally {
    await sink.abort()
  }
}

/** An unfinished target with ones from 8192 to 16,384 and from 50,000 to 60,000; returns its mark. */
async function interrupted(image: ImageFacts = IMAGE): Promise<string> {
  const sink = await resumable()
  await sink.open(image)
  await sink.write(8192, new Uint8Array(8192).fill(1))
  await sink.write(50_000, new Uint8Array(10_000).fill(1))
  await sink.flush()
  await sink.abort()
  return sink.mark!
}

describe('an unfinished file', () => {
  it('keeps what is there, and gets the rest', async () => {
    const mark = await interrupted()
    const sink = await resumable()
    expect(await sink.hasMark(mark)).toBe(true)
    await sink.reopen(IMAGE, 60_000)
    expect(sink.mark).toBe(mark)
    expect(await isIncompleteTarget(path('target'))).toBe(true)
    await sink.write(0, new Uint8Array(8192).fill(2))
    await sink.finish(SIZE_BYTES)
    const expected = Buffer.alloc(SIZE_BYTES).fill(2, 0, 8192).fill(1, 8192, 16_384).fill(1, 50_000, 60_000)
    expect(readFileSync(path('target')).equals(expected)).toBe(true)
  })

  it('reads as zeros where it is told, also where the earlier run has written', async () => {
    const mark = await interrupted()
    const sink = await resumable()
    await sink.hasMark(mark)
    await sink.reopen(IMAGE, 60_000)
    await sink.zero(16_384, 40_000)
    await sink.finish(SIZE_BYTES)
    const expected = Buffer.alloc(SIZE_BYTES).fill(1, 8192, 16_384).fill(1, 56_384, 60_000)
    expect(readFileSync(path('target')).equals(expected)).toBe(true)
  })

  it('stays marked when it is given up again', async () => {
    const mark = await interrupted()
    const sink = await resumable()
    await sink.hasMark(mark)
    await sink.reopen(IMAGE, 60_000)
    await sink.abort()
    expect(await hasMark(mark)).toBe(true)
  })

  it('of a stream may be as short as its data', async () => {
    const stream = { ...IMAGE, sizeBytes: undefined }
    const mark = await interrupted(stream)
    const sink = await resumable()
    await sink.hasMark(mark)
    await sink.reopen(stream, 60_000)
    await sink.finish(70_000)
    expect(readFileSync(path('target')).length).toBe(70_000)
  })

  it('of a stream gets its size when that is known by now', async () => {
    const mark = await interrupted({ ...IMAGE, sizeBytes: undefined })
    const sink = await resumable()
    await sink.hasMark(mark)
    await sink.reopen(IMAGE, 60_000)
    expect(readFileSync(path('target')).length).toBe(SIZE_BYTES)
    await sink.finish(SIZE_BYTES)
    expect(readFileSync(path('target')).length).toBe(SIZE_BYTES)
  })

  it.each([IMAGE, { ...IMAGE, sizeBytes: undefined }])('that was cut off is refused (%o)', async (image) => {
    const mark = await interrupted(image)
    truncateSync(path('target'), 59_999)
    const sink = await resumable()
    await sink.hasMark(mark)
    await expectFailure(sink.reopen(image, 60_000), 'JOURNAL_REFUSED', 'it has 59999 bytes where the earlier run')
    await sink.abort()
  })
})

describe('a mark', () => {
  it('is another for each transfer', async () => {
    const first = await interrupted()
    const second = await interrupted()
    expect(first).toMatch(/^[0-9a-f]{32}$/)
    expect(second).not.toBe(first)
    expect(await hasMark(first)).toBe(false)
    expect(await hasMark(second)).toBe(true)
  })

  it('is gone when the target is complete, was overwritten, or is not there', async () => {
    expect(await hasMark('0'.repeat(32))).toBe(false)
    const mark = await interrupted()
    const sink = await resumable()
    await sink.hasMark(mark)
    await sink.reopen(IMAGE, 60_000)
    await sink.finish(SIZE_BYTES)
    expect(await hasMark(mark)).toBe(false)
    writeFileSync(path('target'), 'short')
    expect(await hasMark(mark)).toBe(false)
  })

  it('must have been asked for before going on', async () => {
    await interrupted()
    const sink = await resumable()
    await expect(sink.reopen(IMAGE, 0)).rejects.toThrow('reopen: expected a target that has its mark')
    await sink.abort()
  })
})

it('the journal of a file lies beside it', async () => {
  const sink = await resumable()
  expect(sink.journalPath).toBe(path('target.skilfish'))
  await sink.abort()
})
