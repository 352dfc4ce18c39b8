import { execFileSync } from 'node:child_process'
import { appendFileSync, createWriteStream, mkdirSync, truncateSync, utimesSync, writeFileSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { createServer } from 'node:net'
import { pipeline } from 'node:stream/promises'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { NO_FFI_VARIABLE } from '../../../src/io/ffi.ts'
import { loadLibc } from '../../../src/io/libc.ts'
import { openSource } from '../../../src/io/open-source.ts'
import { isRandomAccess, type Extent, type RandomAccessSource, type Range } from '../../../src/sparse/index.ts'
import { expectFailure } from './expect-failure.ts'
import { useTemporaryFolder } from './temporary-folder.ts'

const path = useTemporaryFolder()
const libc = loadLibc()

afterEach(() => vi.unstubAllEnvs())

const MIB = 1024 * 1024

async function openFile(name: string): Promise<RandomAccessSource> {
  const source = await openSource(path(name))
  if (!isRandomAccess(source)) throw new Error('expected a source of random access')
  return source
}

async function dataRanges(source: RandomAccessSource): Promise<Range[]> {
  const ranges: Range[] = []
  for (let offset = 0; ;) {
    const range = await source.nextData(offset)
    if (!range) return ranges
    ranges.push(range)
    offset = range.end
  }
}

/** A file with data only where told, each piece a whole number of file system blocks. */
async function writeSparse(name: string, sizeBytes: number, pieces: readonly Range[]): Promise<void> {
  const handle = await open(path(name), 'w')
  await handle.truncate(sizeBytes)
  for (const { start, end } of pieces) await handle.write(new Uint8Array(end - start).fill(7), 0, end - start, start)
  await handle.sync()
  await handle.close()
}

async function collect(extents: AsyncIterable<Extent>): Promise<Buffer> {
  const parts: Buffer[] = []
  let end = 0
  for await (const extent of extents) {
    expect(extent.offset).toBe(end)
    if (!('data' in extent)) throw new Error('expected data')
    end += extent.data.length
    parts.push(Buffer.from(extent.data))
  }
  return Buffer.concat(parts)
}

describe('a regular file', () => {
  it('is read at any place', async () => {
    writeFileSync(path('image'), 'one two three')
    const source = await openFile('image')
    expect(source.sizeBytes).toBe(13)
    expect(source.label).toBe(path('image'))
    const into = new Uint8Array(3)
    await source.readInto(4, into)
    expect(Buffer.from(into).toString()).toBe('two')
    await source.close?.()
  })

  it('has the same identity when opened again, another after a change', async () => {
    writeFileSync(path('image'), 'one')
    utimesSync(path('image'), 1, 1)
    const identities: (string | undefined)[] = []
    const openOnce = async (): Promise<void> => {
      const source = await openFile('image')
      identities.push(source.identity)
      await source.close?.()
    }
    await openOnce()
    await openOnce()
    utimesSync(path('image'), 1, 2)
    await openOnce()
    appendFileSync(path('image'), 'x')
    utimesSync(path('image'), 1, 2)
    await openOnce()
    expect(identities[0]).toContain('image')
    expect(identities[1]).toBe(identities[0])
    expect(new Set(identities).size).toBe(3)
  })

  it('that was written while open is told from one that was not', async () => {
    writeFileSync(path('image'), 'one')
    utimesSync(path('image'), 1, 1)
    const source = await openFile('image')
    await source.verifyUnchanged?.()
    writeFileSync(path('image'), 'two')
    const wanted = 'it must stay as it was at the start: 3 bytes, last written at 1970-01-01T00:00:01.000Z'
    await expectFailure(source.verifyUnchanged?.(), 'SOURCE_CHANGED', 'image: it was written at 2', wanted)
    writeFileSync(path('image'), 'three')
    await expectFailure(source.verifyUnchanged?.(), 'SOURCE_CHANGED', 'it has 5 bytes now', wanted)
    await source.close?.()
  })

  it('that became shorter is found changed on reading', async () => {
    writeFileSync(path('image'), new Uint8Array(100))
    const source = await openFile('image')
    truncateSync(path('image'), 60)
    await expectFailure(source.readInto(50, new Uint8Array(50)), 'SOURCE_CHANGED', 'ends at byte 60')
    await source.close?.()
  })

  it('that is closed already fails on reading with the path and the place', async () => {
    writeFileSync(path('image'), 'one')
    const source = await openFile('image')
    await source.close?.()
    const action = `cannot read 2 bytes at 1 of ${path('image')}`
    await expectFailure(source.readInto(1, new Uint8Array(2)), 'SOURCE_FAILED', action)
  })

  it('of no bytes has no data', async () => {
    writeFileSync(path('image'), '')
    const source = await openFile('image')
    expect(source.sizeBytes).toBe(0)
    expect(await source.nextData(0)).toBeUndefined()
    await source.close?.()
  })

  it('counts as all data without the foreign function interface', async () => {
    vi.stubEnv(NO_FFI_VARIABLE, '1')
    await writeSparse('image', 10 * MIB, [{ start: MIB, end: 2 * MIB }])
    const source = await openFile('image')
    expect(await source.nextData(0)).toEqual({ start: 0, end: 10 * MIB })
    expect(await source.nextData(3 * MIB)).toEqual({ start: 3 * MIB, end: 10 * MIB })
    expect(await source.nextData(10 * MIB)).toBeUndefined()
    await source.close?.()
  })
})

describe.runIf(libc)('the holes of a file', () => {
  const TIB = 2 ** 40

  it('are left out, however large, at two calls a run of data', async () => {
    const pieces = [
      { start: 0, end: MIB },
      { start: 3 * MIB, end: 4 * MIB },
      { start: TIB - 2 * MIB, end: TIB - MIB },
    ]
    await writeSparse('image', TIB, pieces)
    const lseek = vi.spyOn(libc!, 'lseek')
    const source = await openFile('image')
    expect(await dataRanges(source)).toEqual(pieces)
    expect(lseek.mock.calls.length).toBeLessThanOrEqual(2 * pieces.length + 1)
    lseek.mockClear()
    for (let offset = TIB - 2 * MIB; offset < TIB - MIB; offset += 4096) {
      expect(await source.nextData(offset)).toEqual({ start: offset, end: TIB - MIB })
    }
    expect(lseek.mock.calls.length).toBeLessThanOrEqual(2)
    lseek.mockRestore()
    await source.close?.()
  })

  it('are found from any place, forth and back', async () => {
    await writeSparse('image', 8 * MIB, [{ start: 2 * MIB, end: 4 * MIB }])
    const source = await openFile('image')
    expect(await source.nextData(5 * MIB)).toBeUndefined()
    expect(await source.nextData(0)).toEqual({ start: 2 * MIB, end: 4 * MIB })
    expect(await source.nextData(3 * MIB)).toEqual({ start: 3 * MIB, end: 4 * MIB })
    expect(await source.nextData(4 * MIB)).toBeUndefined()
    expect(await source.nextData(MIB)).toEqual({ start: 2 * MIB, end: 4 * MIB })
    await source.close?.()
  })

  it('count for nothing in how much data lies before a place, unless there are too many to look at', async () => {
    await writeSparse('image', TIB, [
      { start: MIB, end: 2 * MIB },
      { start: 5 * MIB, end: 8 * MIB },
    ])
    const source = await openFile('image')
    const before = [0, MIB, 1.5 * MIB, 3 * MIB, 5 * MIB, 6 * MIB, 8 * MIB, TIB].map((at) => source.dataBefore?.(at))
    expect(before).toEqual([0, 0, 0.5 * MIB, MIB, MIB, 2 * MIB, 4 * MIB, 4 * MIB])
    expect(await source.nextData(3 * MIB)).toEqual({ start: 5 * MIB, end: 8 * MIB })
    await source.close?.()
    const pieces = Array.from({ length: 4097 }, (_, index) => ({ start: index * 8192, end: index * 8192 + 4096 }))
    await writeSparse('pieces', 4097 * 8192, pieces)
    const many = await openFile('pieces')
    expect(many.dataBefore?.(MIB)).toBeUndefined()
    await many.close?.()
  })

  it('fill all of a file without data', async () => {
    await writeSparse('image', TIB, [])
    const source = await openFile('image')
    expect(await source.nextData(0)).toBeUndefined()
    await source.close?.()
  })

  it('count as data where the file system does not tell them', async () => {
    await writeSparse('image', 8 * MIB, [{ start: 2 * MIB, end: 4 * MIB }])
    const EINVAL = 22
    const lseek = vi.spyOn(libc!, 'lseek').mockReturnValue(-EINVAL)
    const source = await openFile('image')
    expect(await source.nextData(MIB)).toEqual({ start: MIB, end: 8 * MIB })
    lseek.mockRestore()
    await source.close?.()
  })

  it('end with the size at the start though the file has grown', async () => {
    await writeSparse('image', MIB, [{ start: 0, end: MIB }])
    const source = await openFile('image')
    await writeSparse('image', 4 * MIB, [{ start: 0, end: 4 * MIB }])
    expect(await dataRanges(source)).toEqual([{ start: 0, end: MIB }])
    await source.close?.()
  })
})

describe('a stream', () => {
  it('from a named pipe comes whole, also when its writer comes later', async () => {
    execFileSync('mkfifo', [path('pipe')])
    const source = await openSource(path('pipe'))
    if (isRandomAccess(source)) throw new Error('expected a stream')
    expect(source.sizeBytes).toBeUndefined()
    expect(source.identity).toBeUndefined()
    const sent = Buffer.alloc(3 * MIB + 5, 'skilfish')
    const written = pipeline([sent], createWriteStream(path('pipe')))
    expect(sent.equals(await collect(source.extents()))).toBe(true)
    await written
    await source.close?.()
  })

  it('from a named pipe without a writer can be given up', async () => {
    execFileSync('mkfifo', [path('pipe')])
    const source = await openSource(path('pipe'))
    if (isRandomAccess(source)) throw new Error('expected a stream')
    const next = source.extents()[Symbol.asyncIterator]().next()
    await source.close?.()
    await expectFailure(next, 'SOURCE_FAILED', path('pipe'))
  })

  it('from a character device is read in order', async () => {
    const source = await openSource('/dev/zero')
    if (isRandomAccess(source)) throw new Error('expected a stream')
    let end = 0
    for await (const extent of source.extents()) {
      expect(extent.offset).toBe(end)
      if ('data' in extent) end += extent.data.length
      if (end > 4 * MIB) break
    }
    expect(end).toBeGreaterThan(4 * MIB)
    await source.close?.()
  })

  it('is standard input for -', async () => {
    const source = await openSource('-')
    expect(source.label).toBe('standard input')
    expect(isRandomAccess(source)).toBe(false)
  })
})

describe('what cannot be sent', () => {
  it('a path to nothing', async () => {
    const nowhere = path('nowhere')
    const text = `cannot open ${nowhere}: it does not exist; name an existing file or device`
    await expectFailure(openSource(nowhere), 'SOURCE_NOT_FOUND', text)
    writeFileSync(path('file'), '')
    await expectFailure(openSource(path('file', 'below')), 'SOURCE_NOT_FOUND')
  })

  it('a folder', async () => {
    mkdirSync(path('folder'))
    await expectFailure(openSource(path('folder')), 'SOURCE_UNSUPPORTED', 'it is a folder; name a regular file')
  })

  it('a socket', async () => {
    const server = createServer()
    await new Promise<void>((resolve) => server.listen(path('socket'), resolve))
    await expectFailure(openSource(path('socket')), 'SOURCE_UNSUPPORTED', 'it is a socket')
    await new Promise((resolve) => server.close(resolve))
  })

  it('a terminal', async () => {
    // /dev/ptmx gives whoever opens it a terminal of its own.
    await expectFailure(openSource('/dev/ptmx'), 'SOURCE_UNSUPPORTED', 'it is a terminal')
    const isTTY = Object.getOwnPropertyDescriptor(process.stdin, 'isTTY')
    Object.defineProperty(process.stdin, 'isTTY', { value: true, configurable: true })
    await expectFailure(openSource('-'), 'SOURCE_UNSUPPORTED', 'standard input', 'it is a terminal')
    if (isTTY) Object.defineProperty(process.stdin, 'isTTY', isTTY)
    else Reflect.deleteProperty(process.stdin, 'isTTY')
  })
})
