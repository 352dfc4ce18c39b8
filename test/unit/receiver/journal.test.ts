import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { SkilfishError } from '../../../src/errors.ts'
import { MAX_RECORD_BYTES, MAX_RECORD_SLICES } from '../../../src/receiver/journal-format.ts'
import {
  readJournal,
  removeJournal,
  requireJournalPlace,
  type FoundJournal,
} from '../../../src/receiver/journal-reader.ts'
import { Journal, type WrittenSlice } from '../../../src/receiver/journal.ts'
import { expectFailure } from '../io/expect-failure.ts'
import { useTemporaryFolder } from '../io/temporary-folder.ts'
import { MemoryResumableSink } from './resumable-sink.ts'

const path = useTemporaryFolder()

afterEach(() => {
  vi.useRealTimers()
  vi.restoreAllMocks()
})

const IMAGE = { imageId: 'ab12', imageName: 'disk.img', imageBytes: 1_000_000 }
const HEADER = { ...IMAGE, sliceBytes: 16_384, digestKind: 'gmac', mark: 'a-mark' } as const
const MAGIC_BYTES = 19

const digestOf = (slice: number): Uint8Array => createHash('sha256').update(String(slice)).digest()
/** Slice n spans 16 KiB from n + 1 times that on; the last 4 KiB are a run of zeros. */
const written = (slice: number): WrittenSlice => {
  const spanStart = (slice + 1) * 16_384
  const ends = { spanEnd: spanStart + 16_384, dataEnd: spanStart + 12_288 }
  return { slice, digest: digestOf(slice), spanStart, ...ends, zeroRunCount: 1 }
}
const range = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, index) => from + index)

/** Writes a journal: each list of slices becomes a record (or several). */
async function write(records: readonly (readonly number[])[]): Promise<Buffer> {
  for (const slices of records) {
    const found = await readJournal(path('journal'))
    const sink = new MemoryResumableSink(0)
    const fail = (error: unknown): never => {
      throw error as Error
    }
    const journal = found ? Journal.continue(sink, found, fail) : Journal.begin(sink, path('journal'), HEADER, fail)
    for (const slice of slices) journal.note(written(slice))
    await journal.close()
  }
  return readFileSync(path('journal'))
}

async function read(): Promise<FoundJournal | undefined> {
  const found = await readJournal(path('journal'))
  await found?.file.close()
  return found
}

const slicesOf = (found: FoundJournal | undefined): number[] =>
  found === undefined ? [] : range(0, 5000).filter((slice) => found.settled.has(slice))

describe('a journal', () => {
  it('tells what was recorded, over several runs', async () => {
    await write([[3, 0, 1], range(10, 10 + MAX_RECORD_SLICES + 5), [2]])
    const found = await read()
    expect(found?.header).toEqual(HEADER)
    expect(slicesOf(found)).toEqual([0, 1, 2, 3, ...range(10, 10 + MAX_RECORD_SLICES + 5)])
    const last = 10 + MAX_RECORD_SLICES + 4
    const spansEnd = (last + 2) * 16_384
    const coveredBytes = (MAX_RECORD_SLICES + 9) * 16_384
    const zeroRunCount = MAX_RECORD_SLICES + 9
    expect(found?.totals).toEqual({ coveredBytes, spansEnd, dataEnd: spansEnd - 4096, zeroRunCount })
  })

  it('keeps the digests for the root digest', async () => {
    await write([range(0, 1030)])
    const root = (await read())!.root
    const group = (from: number, to: number): Buffer =>
      createHash('sha256')
        .update(Buffer.concat(range(from, to).map(digestOf)))
        .digest()
    const head = Buffer.alloc(12)
    head.writeUInt32BE(77, 4)
    head.writeUInt32BE(1030, 8)
    const expected = createHash('sha256')
      .update(Buffer.concat([head, group(0, 1024), group(1024, 1030)]))
      .digest()
    expect(Buffer.from(root.finish(77, 1030))).toEqual(expected)
  })

  it('is bounded in size: 36 bytes a slice, and 52 for each record, which has one slice at least; for its owner alone', async () => {
    const one = (await write([range(0, 1000)])).length
    const two = (await write([range(1000, 2000)])).length
    expect(two - one).toBe(1000 * 36 + 52)
    const singly = (await write(range(2000, 2020).map((slice) => [slice]))).length
    expect(singly - two).toBe(20 * (36 + 52))
    // A flush without a slice makes no record.
    expect((await write([[], []])).length).toBe(singly)
    expect(statSync(path('journal')).mode & 0o777).toBe(0o600)
  })

  it('is not made for what the sink holds back', async () => {
    const journal = Journal.begin(new MemoryResumableSink(0), path('journal'), HEADER, () => undefined)
    journal.note({ ...written(0), spanStart: 4095 })
    await journal.close()
    expect(existsSync(path('journal'))).toBe(false)
  })

  it('is written only after the target is flushed (fdatasync), and not at all when that fails', async () => {
    const sink = new MemoryResumableSink(0)
    const lost: unknown[] = []
    const journal = Journal.begin(sink, path('journal'), HEADER, (error) => lost.push(error))
    const seen: boolean[] = []
    sink.onFlush = () => {
      seen.push(existsSync(path('journal')))
      return Promise.reject(new SkilfishError('TARGET_FAILED', 'the device is gone'))
    }
    journal.note(written(1))
    await journal.close()
    expect(seen).toEqual([false])
    expect(lost).toMatchObject([{ code: 'TARGET_FAILED' }])
    expect(existsSync(path('journal'))).toBe(false)
  })

  it('records nothing more after a flush has failed', async () => {
    const sink = new MemoryResumableSink(0)
    const failures: unknown[] = []
    const journal = Journal.begin(sink, path('journal'), HEADER, (error) => failures.push(error))
    sink.onFlush = () => Promise.reject(new Error('gone'))
    journal.note(written(1))
    await expect.poll(() => failures.length, { timeout: 10_000 }).toBe(1)
    sink.onFlush = () => Promise.resolve()
    journal.note(written(2))
    await journal.close()
    expect(existsSync(path('journal'))).toBe(false)
  })

  it('flushes in time by itself', async () => {
    const journal = Journal.begin(new MemoryResumableSink(0), path('journal'), HEADER, () => undefined)
    journal.note(written(1))
    await expect.poll(() => existsSync(path('journal')), { timeout: 10_000 }).toBe(true)
    journal.note(written(2))
    await expect.poll(async () => slicesOf(await read()), { timeout: 10_000 }).toEqual([1, 2])
    await journal.remove()
    expect(existsSync(path('journal'))).toBe(false)
  })

  /** A journal with a slice to record, whose flushes wait for `release`. */
  function heldUp() {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    const sink = new MemoryResumableSink(0)
    const journal = Journal.begin(sink, path('journal'), HEADER, () => undefined)
    let open = (): void => undefined
    sink.onFlush = () => new Promise((resolve) => (open = resolve))
    journal.note(written(1))
    return { sink, journal, release: () => open() }
  }

  it('leaves no timer when it is closed in the midst of a flush', async () => {
    const { sink, journal, release } = heldUp()
    vi.advanceTimersByTime(1000)
    journal.note(written(2))
    const closed = journal.close()
    sink.onFlush = () => Promise.resolve()
    release()
    await closed
    expect(vi.getTimerCount()).toBe(0)
    expect(slicesOf(await read())).toEqual([1, 2])
  })

  it.each(['before a flush', 'during a flush'])('records nothing more when it is stopped %s', async (when) => {
    const { sink, journal, release } = heldUp()
    if (when === 'during a flush') vi.advanceTimersByTime(1000)
    const stopped = journal.stop()
    release()
    await stopped
    journal.note(written(2))
    await journal.close()
    expect([vi.getTimerCount(), existsSync(path('journal'))]).toEqual([0, false])
    expect(sink.calls).toEqual(when === 'during a flush' ? ['flush'] : [])
  })

  it('leaves no file when its first record does not fit the disk', async () => {
    const lost: unknown[] = []
    const journal = Journal.begin(new MemoryResumableSink(0), path('journal'), HEADER, (error) => lost.push(error))
    const handle = await open(path('any'), 'w')
    const prototype = Object.getPrototypeOf(handle) as { write: () => Promise<never> }
    await handle.close()
    vi.spyOn(prototype, 'write').mockRejectedValue(Object.assign(new Error('ENOSPC'), { code: 'ENOSPC' }))
    journal.note(written(1))
    await journal.close()
    expect(lost).toMatchObject([{ code: 'JOURNAL_FAILED' }])
    expect(existsSync(path('journal'))).toBe(false)
  })

  it('that cannot be written ends quietly, and keeps what it has', async () => {
    const lost: unknown[] = []
    const journal = Journal.begin(new MemoryResumableSink(0), path('none', 'journal'), HEADER, (error) =>
      lost.push(error),
    )
    journal.note(written(1))
    await journal.close()
    expect(lost).toMatchObject([{ code: 'JOURNAL_FAILED' }])
  })
})

describe('a journal with a torn end', () => {
  it('is whole up to there, wherever it was torn', async () => {
    const before = (await write([[0, 1], [2]])).length
    const whole = await write([[3]])
    for (let length = before; length < whole.length; length++) {
      writeFileSync(path('journal'), whole.subarray(0, length))
      expect(slicesOf(await read()), `${length} bytes`).toEqual([0, 1, 2])
      expect(statSync(path('journal')).size).toBe(before)
    }
  })

  it('is gone on with', async () => {
    const torn = (await write([[0], [1]])).subarray(0, -3)
    writeFileSync(path('journal'), torn)
    await write([[2]])
    expect(slicesOf(await read())).toEqual([0, 2])
  })

  it.each(['zeros', 'other bytes'])('may have %s where the last record should be', async (kind) => {
    const before = (await write([[0, 1]])).length
    const whole = await write([[2]])
    writeFileSync(path('journal'), whole.fill(kind === 'zeros' ? 0 : 7, kind === 'zeros' ? before : before + 4))
    expect(slicesOf(await read())).toEqual([0, 1])
  })

  it.each([MAX_RECORD_BYTES - 1, MAX_RECORD_BYTES, MAX_RECORD_BYTES + 1, 3 * MAX_RECORD_BYTES])(
    'may have %i zeros at its end, and nothing behind them',
    async (zeroBytes) => {
      const whole = await write([[0, 1]])
      writeFileSync(path('journal'), Buffer.concat([whole, Buffer.alloc(zeroBytes)]))
      expect(slicesOf(await read())).toEqual([0, 1])
      expect(statSync(path('journal')).size).toBe(whole.length)
      writeFileSync(path('journal'), Buffer.concat([whole, Buffer.alloc(zeroBytes), Buffer.of(1)]))
      await expect(readJournal(path('journal'))).rejects.toMatchObject({ code: 'JOURNAL_REFUSED' })
    },
  )

  it('is none when its first record is torn', async () => {
    const whole = await write([[0]])
    for (const length of [0, 5, MAGIC_BYTES, MAGIC_BYTES + 30]) {
      writeFileSync(path('journal'), whole.subarray(0, length))
      expect(await read()).toBeUndefined()
    }
  })
})

describe('a journal that is refused', () => {
  const refusal = (part: string): object => ({
    code: 'JOURNAL_REFUSED',
    message: expect.stringContaining(part) as string,
  })

  it('does not match its own checksum: a damaged record before the last, whichever byte of it', async () => {
    const start = (await write([[0]])).length
    const end = (await write([[1]])).length
    const whole = await write([[2]])
    for (let at = start + 4; at < end; at++) {
      const damaged = Buffer.from(whole)
      damaged[at]! ^= 0x10
      writeFileSync(path('journal'), damaged)
      await expect(readJournal(path('journal'))).rejects.toMatchObject(
        refusal(`its record at byte ${start} is damaged; remove it to start anew`),
      )
    }
  })

  it('has a length that no record has', async () => {
    const whole = await write([[0], [1]])
    whole[MAGIC_BYTES] = 1
    writeFileSync(path('journal'), whole)
    await expect(readJournal(path('journal'))).rejects.toMatchObject(refusal('its record at byte 19 is damaged'))
  })

  it('lacks a record, or has one twice', async () => {
    const first = (await write([[0]])).length
    const second = (await write([[1]])).length
    const whole = await write([[2]])
    for (const parts of [
      [whole.subarray(0, first), whole.subarray(second), whole.subarray(second)],
      [whole.subarray(0, second), whole.subarray(first)],
    ]) {
      writeFileSync(path('journal'), Buffer.concat(parts))
      await expect(readJournal(path('journal'))).rejects.toMatchObject(refusal('is damaged'))
    }
  })

  it('names a slice twice', async () => {
    await write([[0, 0]])
    await expect(readJournal(path('journal'))).rejects.toMatchObject(refusal('is damaged'))
  })

  it('is none, and stays', async () => {
    writeFileSync(path('journal'), 'a letter to somebody')
    await expect(readJournal(path('journal'))).rejects.toMatchObject(refusal('it is no journal of this version'))
    await expect(removeJournal(path('journal'))).rejects.toMatchObject(refusal('it is no journal'))
    expect(readFileSync(path('journal'), 'utf8')).toBe('a letter to somebody')
  })
})

it('a journal can lie where there is none or an old one, in a folder that is there', async () => {
  await requireJournalPlace(path('journal'))
  expect(existsSync(path('journal'))).toBe(false)
  await write([[0]])
  await requireJournalPlace(path('journal'))
  expect(await readJournal(path('journal'))).toBeDefined()
  writeFileSync(path('letter'), 'a letter to somebody')
  await expect(requireJournalPlace(path('letter'))).rejects.toMatchObject({ code: 'JOURNAL_REFUSED' })
  await expect(requireJournalPlace(path('none/journal'))).rejects.toMatchObject({ code: 'JOURNAL_FAILED' })
})

it('a journal is a regular file: whatever else is there stays', async () => {
  execFileSync('mkfifo', [path('pipe')])
  mkdirSync(path('folder'))
  symlinkSync(path('pipe'), path('link'))
  // Only root may make a device: one like /dev/null.
  const isRoot = process.getuid?.() === 0
  if (isRoot) execFileSync('mknod', [path('device'), 'c', '1', '3'])
  for (const name of ['pipe', 'folder', 'link', ...(isRoot ? ['device'] : [])]) {
    for (const step of [readJournal, removeJournal, requireJournalPlace]) {
      await expectFailure(step(path(name)), 'JOURNAL_FAILED', path(name), 'it is not a regular file')
    }
    expect(existsSync(path(name)), name).toBe(true)
  }
})

it('a journal that is not gone on with is removed', async () => {
  await write([[0]])
  expect(await removeJournal(path('journal'))).toBe(true)
  expect(await removeJournal(path('journal'))).toBe(false)
})
