import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { SkilfishError } from '../../../src/errors.ts'
import type { Announce } from '../../../src/protocol/index.ts'
import { readJournal } from '../../../src/receiver/journal-reader.ts'
import type { ReceiveOptions } from '../../../src/receiver/receive-options.ts'
import { ReceiveTarget, type OpenTarget } from '../../../src/receiver/receive-target.ts'
import { useTemporaryFolder } from '../io/temporary-folder.ts'
import { data, endOf, frameOf } from './frames.ts'
import { MemorySink } from './memory-sink.ts'
import { MemoryResumableSink } from './resumable-sink.ts'

const path = useTemporaryFolder()

afterEach(() => {
  vi.useRealTimers()
  vi.restoreAllMocks()
})

const SLICE_BYTES = 16_384
const SLICE_COUNT = 4
const IMAGE_BYTES = SLICE_COUNT * SLICE_BYTES
const GEOMETRY = { sliceBytes: SLICE_BYTES, packetBytes: 1472, symbolBytes: 1448 }

const frames = Array.from({ length: SLICE_COUNT }, (_, slice) =>
  frameOf(slice * SLICE_BYTES, [data(slice * SLICE_BYTES, SLICE_BYTES)], slice + 1),
)
const end = endOf(IMAGE_BYTES, frames)
const expected = Buffer.concat(Array.from({ length: SLICE_COUNT }, (_, slice) => Buffer.alloc(SLICE_BYTES, slice + 1)))

/** Of a stream, before its end. */
const STREAM = { imageId: 'ab12', imageName: 'disk.img' } as Announce
const ANNOUNCE: Announce = { ...STREAM, imageBytes: IMAGE_BYTES }

const logged: string[] = []
const failures: unknown[] = []
function openTarget(options: ReceiveOptions): Promise<ReceiveTarget> {
  logged.length = failures.length = 0
  return ReceiveTarget.open(options, {
    onLog: (line) => logged.push(line),
    onFailure: (error) => failures.push(error),
  })
}

async function writeSlices({ consumer }: OpenTarget, slices: readonly number[] = [0, 1, 2, 3]): Promise<void> {
  for (const slice of slices) expect(await consumer.consume(slice, frames[slice]!)).toBe('settled')
}

/** A target in memory to which all slices were written, not yet flushed. Timers are the test's from then on. */
async function written(): Promise<{ sink: MemoryResumableSink; target: ReceiveTarget; opened: OpenTarget }> {
  const sink = new MemoryResumableSink(IMAGE_BYTES)
  const target = await openTarget({ target: sink, journal: path('journal') })
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  const opened = await target.begin(ANNOUNCE, GEOMETRY, 'gmac')
  await writeSlices(opened)
  sink.calls.length = 0
  return { sink, target, opened }
}

/** A step that ends when the test says so. */
function gate(): { readonly passed: Promise<void>; readonly open: () => void; readonly fail: (error: Error) => void } {
  let open!: () => void
  let fail!: (error: Error) => void
  const passed = new Promise<void>((resolve, reject) => ([open, fail] = [resolve, reject]))
  return { passed, open, fail }
}

/** Lets what is ready go on, without timers. */
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

const settledCount = async (): Promise<number> => {
  const found = await readJournal(path('journal'))
  await found?.file.close()
  return found?.settled.count ?? 0
}

describe('the last flush of a target', () => {
  it.each(['TARGET_FULL', 'TARGET_FAILED'] as const)(
    'that fails (%s) is the last: nothing that it was to bring to the disk is recorded',
    async (code) => {
      const { sink, target } = await written()
      sink.onFinish = () => Promise.reject(new SkilfishError(code, 'the flush fails'))
      await expect(target.finish(end)).rejects.toMatchObject({ code })
      await target.abort()
      expect(sink.calls).toEqual(['finish', 'abort'])
      expect(existsSync(path('journal'))).toBe(false)
    },
  )

  it('keeps what was recorded before when it fails', async () => {
    const { sink, target, opened } = await written()
    vi.advanceTimersByTime(1000)
    await vi.waitUntil(() => vi.getTimerCount() > 0)
    expect(sink.calls).toEqual(['flush'])
    sink.onFinish = () => Promise.reject(new SkilfishError('TARGET_FULL', 'the flush fails'))
    await expect(target.finish(end)).rejects.toMatchObject({ code: 'TARGET_FULL' })
    await target.abort()
    expect(sink.calls).toEqual(['flush', 'finish', 'abort'])
    expect(opened.consumer.coveredBytes).toBe(IMAGE_BYTES)
    // The first slice touches the page that is held back.
    expect(await settledCount()).toBe(SLICE_COUNT - 1)
  })

  it('has no flush of the journal beside it', async () => {
    const { sink, target } = await written()
    const { passed, open: release } = gate()
    sink.onFinish = () => passed
    const finished = target.finish(end)
    await turn()
    vi.advanceTimersByTime(60_000)
    await turn()
    expect(sink.calls).toEqual(['finish'])
    release()
    await finished
    expect(vi.getTimerCount()).toBe(0)
  })

  it('waits for a flush of the journal, and does not begin when that fails', async () => {
    const { sink, target } = await written()
    const flush = gate()
    sink.onFlush = () => flush.passed
    vi.advanceTimersByTime(1000)
    const finished = target.finish(end)
    await turn()
    expect(sink.calls).toEqual(['flush'])
    const error = new SkilfishError('TARGET_FAILED', 'the device is gone')
    flush.fail(error)
    await expect(finished).rejects.toBe(error)
    await target.abort()
    expect(failures).toEqual([error])
    expect(sink.calls).toEqual(['flush', 'abort'])
    expect(existsSync(path('journal'))).toBe(false)
  })

  /** A target that waits for the second flush of its end. */
  async function finishing() {
    const target = await openTarget({ target: path('target') })
    await writeSlices(await target.begin(ANNOUNCE, GEOMETRY, 'gmac'))
    const flushes = await holdFlushes()
    const finished = target.finish(end)
    await vi.waitUntil(() => flushes.length === 1)
    flushes[0]!.open()
    await vi.waitUntil(() => flushes.length === 2)
    return { target, finished, flush: flushes[1]! }
  }

  it('is waited for when the transfer is given up, and what it has completed stays complete', async () => {
    const { target, finished, flush } = await finishing()
    let isAborted = false
    const aborted = target.abort().then(() => (isAborted = true))
    await turn()
    expect(isAborted).toBe(false)
    flush.open()
    await Promise.all([finished, aborted])
    expect(readFileSync(path('target')).equals(expected)).toBe(true)
    expect(readdirSync(path('.')).sort()).toEqual(['any', 'target', 'target.skilfish-fingerprint'])
  })

  it('that fails while the transfer is given up leaves the target marked', async () => {
    const { target, finished, flush } = await finishing()
    const aborted = target.abort()
    flush.fail(Object.assign(new Error('EIO'), { code: 'EIO' }))
    await expect(finished).rejects.toMatchObject({ code: 'TARGET_FAILED' })
    await aborted
    expect(readFileSync(path('target')).toString('latin1', 0, 25)).toBe('SKILFISH INCOMPLETE IMAGE')
    expect(existsSync(path('target.skilfish'))).toBe(false)
  })
})

/** Holds back every fdatasync of this process from now on. */
async function holdFlushes(): Promise<ReturnType<typeof gate>[]> {
  const handle = await open(path('any'), 'w')
  const prototype = Object.getPrototypeOf(handle) as { datasync: () => Promise<void> }
  await handle.close()
  const flushes: ReturnType<typeof gate>[] = []
  vi.spyOn(prototype, 'datasync').mockImplementation(() => {
    const flush = gate()
    flushes.push(flush)
    return flush.passed
  })
  return flushes
}

describe('a write that fails', () => {
  it('is the end of the journal: the flush that would vouch for the others may have lost the error', async () => {
    const { sink, target, opened } = await written()
    sink.onWrite = () => Promise.reject(new SkilfishError('TARGET_FULL', 'no space'))
    await expect(opened.consumer.consume(4, frames[3]!)).rejects.toMatchObject({ code: 'TARGET_FULL' })
    vi.advanceTimersByTime(60_000)
    await target.abort()
    expect(sink.calls.filter((call) => !call.startsWith('write'))).toEqual(['abort'])
    expect(existsSync(path('journal'))).toBe(false)
  })

  it('is so too when it fails after the transfer was given up', async () => {
    const { sink, target, opened } = await written()
    const write = gate()
    sink.onWrite = () => write.passed
    const consumed = opened.consumer.consume(4, frames[3]!)
    const aborted = target.abort()
    write.fail(new Error('EIO'))
    await expect(consumed).rejects.toThrow('EIO')
    await aborted
    expect(sink.calls).not.toContain('flush')
    expect(existsSync(path('journal'))).toBe(false)
  })
})

it('what was written when the transfer is given up is flushed and recorded', async () => {
  const { sink, target } = await written()
  await target.abort()
  expect(sink.calls).toEqual(['flush', 'abort'])
  expect(await settledCount()).toBe(SLICE_COUNT - 1)
})

describe('a target that is given up while it is opened', () => {
  it.runIf(process.platform === 'linux')('is closed when it is open', async () => {
    const target = await openTarget({ target: path('target') })
    const begun = target.begin(ANNOUNCE, GEOMETRY, 'gmac')
    await target.abort()
    await begun
    const isOpen = readdirSync('/proc/self/fd').some((fd) => linkOf(fd) === path('target'))
    expect([existsSync(path('target')), isOpen]).toEqual([true, false])
  })

  it('is aborted also when it could not be opened', async () => {
    const sink = new MemorySink(0)
    sink.open = () => Promise.reject(new Error('no such device'))
    const target = await openTarget({ target: sink })
    const begun = target.begin(ANNOUNCE, GEOMETRY, 'gmac')
    begun.catch(() => undefined)
    await target.abort()
    await expect(begun).rejects.toThrow('no such device')
    expect(sink.calls).toEqual(['abort'])
  })

  const linkOf = (fd: string): string | undefined => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`)
    } catch {
      return undefined
    }
  }
})

it('a write that only the sink can end is ended when the transfer is given up', async () => {
  const sink = new MemorySink(IMAGE_BYTES, true)
  const target = await openTarget({ target: sink })
  const { consumer } = await target.begin(ANNOUNCE, GEOMETRY, 'gmac')
  const write = gate()
  sink.onWrite = () => write.passed
  sink.onAbort = () => write.fail(new Error('aborted'))
  const consumed = consumer.consume(0, frames[0]!)
  consumed.catch(() => undefined)
  await target.abort()
  await expect(consumed).rejects.toThrow('aborted')
})

describe('an image whose size only the end of the stream tells', () => {
  const goOn = async (first: Announce, second: Announce): Promise<OpenTarget> => {
    const earlier = await openTarget({ target: path('target') })
    await writeSlices(await earlier.begin(first, GEOMETRY, 'gmac'), [0, 1, 2])
    await earlier.abort()
    const target = await openTarget({ target: path('target'), resume: true })
    try {
      const opened = await target.begin(second, GEOMETRY, 'gmac')
      await writeSlices(opened, [0, 3])
      await target.finish(end)
      return opened
    } catch (error) {
      await target.abort()
      throw error
    }
  }

  it.each([
    ['is told by now', STREAM, ANNOUNCE],
    ['is not told yet', STREAM, STREAM],
    ['was told before', ANNOUNCE, STREAM],
  ])('is gone on with when it %s', async (_, first, second) => {
    const { settled } = await goOn(first, second)
    expect(settled?.count).toBe(2)
    expect(readFileSync(path('target')).equals(expected)).toBe(true)
  })

  it('is not when two sizes are told, and the message has both', async () => {
    const refused = goOn({ ...STREAM, imageBytes: IMAGE_BYTES - 1 }, ANNOUNCE)
    await expect(refused).rejects.toMatchObject({ code: 'JOURNAL_REFUSED' })
    await expect(refused).rejects.toThrow(/of 65535 bytes in slices of 16384 bytes .* of 65536 bytes in slices of/)
  })
})

it('is not gone on with in a session whose slices have other digests', async () => {
  const earlier = await openTarget({ target: path('target') })
  await writeSlices(await earlier.begin(ANNOUNCE, GEOMETRY, 'gmac'), [0, 1])
  await earlier.abort()
  const target = await openTarget({ target: path('target'), resume: true })
  const refused = target.begin(ANNOUNCE, GEOMETRY, 'sha256')
  await expect(refused).rejects.toMatchObject({ code: 'JOURNAL_REFUSED' })
  await expect(refused).rejects.toThrow(
    /with digests of GMAC, the session sends .* with digests of SHA-256; leave out --resume/,
  )
  await target.abort()
})
