import { execFileSync } from 'node:child_process'
import {
  closeSync,
  constants,
  createReadStream,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { open } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { isIncompleteTarget } from '../../../src/io/incomplete-stamp.ts'
import { openSink } from '../../../src/io/open-sink.ts'
import type { SinkOptions } from '../../../src/io/target-file.ts'
import type { ImageFacts, ImageSink } from '../../../src/sparse/index.ts'
import { expectFailure } from './expect-failure.ts'
import { useTemporaryFolder } from './temporary-folder.ts'

const path = useTemporaryFolder()

afterEach(() => vi.restoreAllMocks())

const MIB = 1024 * 1024

const image = (sizeBytes: number | undefined): ImageFacts => ({ name: 'disk.img', imageId: 'ab12', sizeBytes })

/** Bytes of which no two neighbouring pages are alike. */
function pattern(lengthBytes: number, seed = 0): Uint8Array {
  return Uint8Array.from({ length: lengthBytes }, (_, i) => ((i + seed) * 167 + ((i + seed) >> 8)) & 0xff)
}

/** Whether the files' bytes are the same; far faster than toEqual. */
function expectBytes(name: string, expected: Uint8Array): void {
  const found = readFileSync(path(name))
  expect(found.length).toBe(expected.length)
  expect(found.equals(expected)).toBe(true)
}

interface HandlePrototype {
  write: (...args: unknown[]) => Promise<unknown>
  truncate: (lengthBytes: number) => Promise<void>
  datasync: () => Promise<void>
  sync: () => Promise<void>
}

async function handlePrototype(): Promise<HandlePrototype> {
  const handle = await open(path('any'), 'w')
  await handle.close()
  return Object.getPrototypeOf(handle) as HandlePrototype
}

async function failWritesAt(position: number): Promise<void> {
  const prototype = await handlePrototype()
  const write = prototype.write
  vi.spyOn(prototype, 'write').mockImplementation(function (this: unknown, ...args: unknown[]) {
    const error = Object.assign(new Error('EIO: i/o error, write'), { code: 'EIO' })
    return args[3] === position ? Promise.reject(error) : write.apply(this, args)
  })
}

/** Whether the file system of temporary files takes direct writes; tmpfs does since Linux 6.6. */
function hasDirectWrites(): boolean {
  const { O_DIRECT } = constants as Partial<typeof constants>
  if (O_DIRECT === undefined) return false
  const probe = join(tmpdir(), `skilfish-direct-${process.pid}`)
  try {
    closeSync(openSync(probe, constants.O_CREAT | constants.O_WRONLY | O_DIRECT))
    return true
  } catch {
    return false
  } finally {
    rmSync(probe, { force: true })
  }
}

/** The flags of this process's descriptors of a file, as open(2) has them. */
function descriptorFlags(file: string): number[] {
  const flagsOf = (fd: string): number[] => {
    try {
      if (readlinkSync(`/proc/self/fd/${fd}`) !== file) return []
      return [parseInt(/^flags:\s*(\d+)/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'latin1'))![1]!, 8)]
    } catch {
      return []
    }
  }
  return readdirSync('/proc/self/fd').flatMap(flagsOf)
}

const MODES: (readonly [string, SinkOptions])[] = [
  ['buffered', {}],
  ['with sync', { sync: true }],
]
if (hasDirectWrites())
  MODES.push(['with direct', { direct: true }], ['with direct and sync', { direct: true, sync: true }])

describe.each(MODES)('a new file, %s', (_, options) => {
  it.runIf(process.platform === 'linux')('is open in the way that was asked for', async () => {
    const sink = await openSink(path('target'), options)
    await sink.open(image(10))
    const flags = descriptorFlags(path('target'))
    expect(flags.map((each) => (each & constants.O_DSYNC) !== 0)).toEqual(flags.map(() => options.sync ?? false))
    const expected = options.direct ? [false, true] : [false]
    expect(flags.map((each) => (each & constants.O_DIRECT) !== 0).sort()).toEqual(expected)
    await sink.abort()
    expect(descriptorFlags(path('target'))).toEqual([])
  })

  it.each([0, 1, 511, 4095, 4096, 4097, 3 * MIB + 5])('of %i bytes holds what was written', async (sizeBytes) => {
    for (const announced of [sizeBytes, undefined]) {
      const name = `target-${String(announced)}`
      const bytes = pattern(sizeBytes)
      const sink = await openSink(path(name), options)
      expect(sink.isSequential).toBe(false)
      expect(existsSync(path(name))).toBe(false)
      await sink.open(image(announced))
      expect(await isIncompleteTarget(path(name))).toBe(true)
      const writes: Promise<void>[] = []
      // Pieces that begin and end anywhere, also across the end of the first page, the last one first.
      for (let end = sizeBytes; end > 0; end = Math.max(0, end - 300_001)) {
        const start = Math.max(0, end - 300_001)
        writes.push(sink.write(start, bytes.slice(start, end)))
      }
      await Promise.all(writes)
      expect(await isIncompleteTarget(path(name))).toBe(true)
      await sink.finish(sizeBytes)
      expect(await isIncompleteTarget(path(name))).toBe(false)
      expectBytes(name, bytes)
    }
  })

  it('takes more writes at once than it has buffers', async () => {
    const sizeBytes = 20 * 256 * 1024
    const bytes = pattern(sizeBytes)
    const sink = await openSink(path('target'), options)
    await sink.open(image(sizeBytes))
    const starts = Array.from({ length: 20 }, (_, i) => i * 256 * 1024)
    await Promise.all(starts.map((start) => sink.write(start, bytes.subarray(start, start + 256 * 1024))))
    await sink.finish(sizeBytes)
    expectBytes('target', bytes)
  })
})

describe('a new file', () => {
  it('keeps holes as holes', async () => {
    const sizeBytes = 2 ** 40
    const sink = await openSink(path('target'))
    await sink.open(image(sizeBytes))
    await sink.zero(0, 2 ** 39)
    await sink.write(2 ** 39, pattern(MIB))
    await sink.zero(2 ** 39 + MIB, 2 ** 39 - MIB)
    await sink.finish(sizeBytes)
    const { size, blocks } = statSync(path('target'))
    expect(size).toBe(sizeBytes)
    expect(blocks * 512).toBeLessThan(2 * MIB)
    const handle = await open(path('target'))
    const { buffer: head } = await handle.read(Buffer.alloc(8192), 0, 8192, 0)
    await handle.close()
    expect(head.equals(Buffer.alloc(8192))).toBe(true)
  })

  it('has zeros in its first page where nothing was written', async () => {
    const sink = await openSink(path('target'))
    await sink.open(image(8192))
    await sink.write(100, pattern(50))
    await sink.write(5000, pattern(10))
    await sink.finish(8192)
    const expected = new Uint8Array(8192)
    expected.set(pattern(50), 100)
    expected.set(pattern(10), 5000)
    expectBytes('target', expected)
  })

  it('that is given up begins with a text that says so', async () => {
    const sink = await openSink(path('target'))
    await sink.open({ name: 'disk\u001b[2J\n.img', imageId: 'ab12', sizeBytes: 10_000 })
    await sink.write(0, pattern(10_000))
    await sink.abort()
    expect(await isIncompleteTarget(path('target'))).toBe(true)
    const text = readFileSync(path('target')).toString('latin1', 0, 4096)
    expect(text).toMatch(/^SKILFISH INCOMPLETE IMAGE\nname: disk\?\[2J\?\.img\nimage: ab12\nsize: 10000 bytes\n/)
    expect(text).toMatch(/receive it again\.\n\0+$/)
  })

  it('is flushed between stamp and data, and between data and first page', async () => {
    const sink = await openSink(path('target'))
    const prototype = await handlePrototype()
    const calls: string[] = []
    const record = (name: keyof HandlePrototype, argument?: number): void => {
      const original = prototype[name] as (...args: unknown[]) => Promise<unknown>
      vi.spyOn(prototype, name).mockImplementation(function (this: unknown, ...args: unknown[]) {
        calls.push(argument === undefined ? name : `${name} ${String(args[argument])}`)
        return original.apply(this, args) as Promise<void>
      })
    }
    record('write', 3)
    record('truncate', 0)
    record('datasync')
    record('sync')
    await sink.open(image(10_000))
    await sink.write(0, pattern(10_000))
    await sink.finish(10_000)
    expect(calls).toEqual([
      ...['write 0', 'truncate 4096', 'truncate 10000', 'datasync'],
      ...['write 4096', 'truncate 10000', 'datasync', 'sync'],
      ...['write 0', 'datasync'],
    ])
  })

  it('is not left behind when it was never opened', async () => {
    const sink = await openSink(path('target'))
    await sink.abort()
    expect(existsSync(path('target'))).toBe(false)
  })

  it('is not left behind when it cannot be prepared', async () => {
    const sink = await openSink(path('target'))
    await failWritesAt(0)
    await expectFailure(sink.open(image(10_000)), 'TARGET_FAILED', `cannot prepare ${path('target')}: EIO`)
    expect(existsSync(path('target'))).toBe(false)
    await sink.abort()
  })

  it('that another program makes in the meantime is left alone', async () => {
    const sink = await openSink(path('target'))
    writeFileSync(path('target'), 'mine')
    await expectFailure(sink.open(image(5)), 'TARGET_FAILED', 'another program made it')
    await sink.abort()
    expect(readFileSync(path('target'), 'latin1')).toBe('mine')
  })

  it('stays incomplete when its last page cannot be flushed', async () => {
    const sink = await openSink(path('target'))
    await sink.open(image(10_000))
    await sink.write(0, pattern(10_000))
    const datasync = vi.spyOn(await handlePrototype(), 'datasync').mockResolvedValueOnce()
    datasync.mockRejectedValueOnce(Object.assign(new Error('EIO: i/o error, fdatasync'), { code: 'EIO' }))
    await expectFailure(sink.finish(10_000), 'TARGET_FAILED', `cannot complete ${path('target')}: EIO`)
    expect(datasync).toHaveBeenCalledTimes(2)
    expect(await isIncompleteTarget(path('target'))).toBe(false)
    await sink.abort()
    expect(await isIncompleteTarget(path('target'))).toBe(true)
  })

  it('reports a failing write with its place', async () => {
    const sink = await openSink(path('target'))
    await sink.open(image(MIB))
    await failWritesAt(8192)
    const text = `cannot write 5 bytes at 8192 of ${path('target')}: EIO: i/o error, write; it must accept every write`
    await expectFailure(sink.write(8192, pattern(5)), 'TARGET_FAILED', text)
    await sink.abort()
  })
})

describe('an existing file', () => {
  it('keeps nothing of what it held', async () => {
    writeFileSync(path('target'), new Uint8Array(MIB).fill(0xee))
    const sink = await openSink(path('target'))
    expect(statSync(path('target')).size).toBe(MIB)
    await sink.open(image(100_000))
    await sink.write(50_000, pattern(10))
    await sink.finish(100_000)
    const expected = new Uint8Array(100_000)
    expected.set(pattern(10), 50_000)
    expectBytes('target', expected)
  })

  it('is unchanged when nothing was opened', async () => {
    writeFileSync(path('target'), 'mine')
    const sink = await openSink(path('target'))
    await sink.abort()
    expect(readFileSync(path('target'), 'latin1')).toBe('mine')
  })

  it('keeps its bytes and gets its new size when it is said to be zero', async () => {
    writeFileSync(path('target'), new Uint8Array(100_000).fill(1))
    const sink = await openSink(path('target'), { assumeZeroed: true })
    await sink.open(image(undefined))
    await sink.zero(0, 20_000)
    await sink.write(20_000, pattern(10))
    await sink.finish(50_000)
    const expected = new Uint8Array(50_000).fill(1).fill(0, 0, 4096)
    expected.set(pattern(10), 20_000)
    expectBytes('target', expected)
  })

  it('is written through a link to it', async () => {
    writeFileSync(path('target'), 'old')
    symlinkSync(path('target'), path('link'))
    const sink = await openSink(path('link'))
    await sink.open(image(3))
    await sink.write(0, Buffer.from('new'))
    await sink.finish(3)
    expect(readFileSync(path('target'), 'latin1')).toBe('new')
  })
})

describe('calls out of order or out of range', () => {
  it.each<[string, (sink: ImageSink) => Promise<void>]>([
    ['write', (sink) => sink.write(0, pattern(1))],
    ['zero', (sink) => sink.zero(0, 1)],
    ['finish', (sink) => sink.finish(0)],
  ])('%s before open', async (name, call) => {
    writeFileSync(path('target'), 'mine')
    const sink = await openSink(path('target'))
    await expect(call(sink)).rejects.toThrow(new TypeError(`${name}: expected a call between open and finish or abort`))
    await sink.abort()
    expect(readFileSync(path('target'), 'latin1')).toBe('mine')
  })

  it.each<[string, (sink: ImageSink) => Promise<void>]>([
    ['write behind the end', (sink) => sink.write(9_999, pattern(2))],
    ['write before the beginning', (sink) => sink.write(-1, pattern(2))],
    ['write at no place', (sink) => sink.write(NaN, pattern(2))],
    ['zero behind the end', (sink) => sink.zero(5000, 5001)],
    ['zero a negative length', (sink) => sink.zero(5000, -1)],
    ['finish with more than announced', (sink) => sink.finish(10_001)],
    ['finish with less than announced', (sink) => sink.finish(9_999)],
  ])('%s', async (_, call) => {
    const sink = await openSink(path('target'))
    await sink.open(image(10_000))
    await expect(call(sink)).rejects.toThrow(RangeError)
    await sink.finish(10_000)
    await expect(call(sink)).rejects.toThrow(TypeError)
    expectBytes('target', new Uint8Array(10_000))
  })
})

describe('what cannot be received to', () => {
  it('a file in a folder that does not exist', async () => {
    const target = path('no', 'target')
    const text = `cannot open ${target}: its folder does not exist; name a file in an existing folder`
    await expectFailure(openSink(target), 'TARGET_NOT_FOUND', text)
    writeFileSync(path('file'), '')
    await expectFailure(openSink(path('file', 'target')), 'TARGET_NOT_FOUND')
    await expectFailure(openSink(`${path('no')}/`), 'TARGET_NOT_FOUND', 'there is no such folder; name a file')
  })

  it('a device that does not exist', async () => {
    await expectFailure(openSink('/dev/skilfish-none'), 'TARGET_NOT_FOUND', 'there is no such device')
  })

  it('a folder', async () => {
    mkdirSync(path('folder'))
    await expectFailure(openSink(path('folder')), 'TARGET_UNSUPPORTED', 'it is a folder; name a regular file')
  })

  it('a link to nothing', async () => {
    symlinkSync(path('nowhere'), path('link'))
    await expectFailure(
      openSink(path('link')),
      'TARGET_NOT_FOUND',
      `it is a link to ${path('nowhere')}, which does not exist`,
    )
  })

  it('a socket', async () => {
    const server = createServer()
    await new Promise<void>((resolve) => server.listen(path('socket'), resolve))
    await expectFailure(openSink(path('socket')), 'TARGET_UNSUPPORTED', 'it is a socket')
    await new Promise((resolve) => server.close(resolve))
  })

  it('a terminal', async () => {
    await expectFailure(openSink('/dev/ptmx'), 'TARGET_UNSUPPORTED', 'it is a terminal')
  })

  it('a file system without direct writes', async () => {
    // procfs has files that may be written, none of them directly.
    await expectFailure(openSink('/proc/self/comm', { direct: true }), 'TARGET_UNSUPPORTED', 'leave out --direct')
  })
})

describe('a named pipe', () => {
  it('passes on the image in order, with zeros for holes', async () => {
    execFileSync('mkfifo', [path('pipe')])
    const received = buffer(createReadStream(path('pipe')))
    const sink = await vi.waitUntil(() => openSink(path('pipe')).catch(() => undefined))
    expect(sink.isSequential).toBe(true)
    await sink.open(image(undefined))
    const bytes = pattern(MIB + 3)
    // All at once: they keep their order.
    await Promise.all([
      sink.write(0, bytes),
      sink.zero(bytes.length, 2 * MIB + 1),
      sink.write(bytes.length + 2 * MIB + 1, pattern(5, 9)),
    ])
    await sink.finish(5 * MIB)
    const expected = Buffer.alloc(5 * MIB)
    expected.set(bytes)
    expected.set(pattern(5, 9), bytes.length + 2 * MIB + 1)
    expect(expected.equals(await received)).toBe(true)
  })

  it('holds back the writer as long as nobody reads', async () => {
    execFileSync('mkfifo', [path('pipe')])
    // A reader that has come but does not read yet.
    const reader = await open(path('pipe'), 'r+')
    const sink = await openSink(path('pipe'))
    let isWritten = false
    const writing = sink.write(0, pattern(MIB)).then(() => (isWritten = true))
    const into = Buffer.alloc(MIB)
    let filled = 0
    // A pipe of Linux holds 64 KiB.
    while (filled < MIB) {
      if (filled < MIB - 2 * 65_536) expect(isWritten).toBe(false)
      filled += (await reader.read(into, filled, Math.min(65_536, MIB - filled), null)).bytesRead
    }
    await writing
    expect(into.equals(pattern(MIB))).toBe(true)
    await sink.abort()
    await reader.close()
  })

  it('that nobody reads is refused at once', async () => {
    execFileSync('mkfifo', [path('pipe')])
    await expectFailure(openSink(path('pipe')), 'TARGET_CLOSED', 'no program reads this pipe; start its reader first')
  })

  it('whose reader goes away fails, then and ever after', async () => {
    execFileSync('mkfifo', [path('pipe')])
    const reader = await open(path('pipe'), 'r+')
    const sink = await openSink(path('pipe'))
    await sink.write(0, pattern(10))
    await reader.close()
    const text = `cannot write to ${path('pipe')}: the program that reads it has gone`
    await expectFailure(sink.write(10, pattern(10)), 'TARGET_CLOSED', text)
    await expectFailure(sink.write(20, pattern(10)), 'TARGET_CLOSED', text)
    await expectFailure(sink.finish(30), 'TARGET_CLOSED', text)
    await sink.abort()
  })
})

describe('a character device', () => {
  it('takes the image in order', async () => {
    const sink = await openSink('/dev/null', { assumeZeroed: true })
    expect(sink.isSequential).toBe(true)
    await sink.open(image(3 * MIB))
    await sink.write(0, pattern(MIB))
    await sink.zero(MIB, MIB)
    await sink.finish(3 * MIB)
  })

  it('reports that no space is left', async () => {
    const sink = await openSink('/dev/full')
    await expectFailure(sink.write(0, pattern(10)), 'TARGET_FULL', 'cannot write to /dev/full: no space is left')
    await sink.abort()
  })

  it('takes nothing out of order', async () => {
    const sink = await openSink('/dev/null')
    await sink.write(0, pattern(10))
    await expect(sink.write(11, pattern(1))).rejects.toThrow(RangeError)
    await expect(sink.write(9, pattern(1))).rejects.toThrow(RangeError)
    await expect(sink.zero(11, 1)).rejects.toThrow(RangeError)
    await expect(sink.finish(9)).rejects.toThrow(RangeError)
    await sink.finish(10)
  })

  it.each(['sync', 'direct'])('is refused with %s', async (option) => {
    await expectFailure(openSink('/dev/null', { [option]: true }), 'TARGET_UNSUPPORTED', `leave out --${option}`)
    await expectFailure(openSink('-', { [option]: true }), 'TARGET_UNSUPPORTED', `leave out --${option}`)
  })
})

describe('isIncompleteTarget', () => {
  it('is false for what holds something else, less, or nothing', async () => {
    for (const text of [
      '',
      'S',
      'SKILFISH INCOMPLETE IMAGE',
      'SKILFISH INCOMPLETE IMAGES\n',
      ' SKILFISH INCOMPLETE IMAGE\n',
    ]) {
      writeFileSync(path('file'), text)
      expect(await isIncompleteTarget(path('file'))).toBe(false)
    }
    writeFileSync(path('file'), 'SKILFISH INCOMPLETE IMAGE\n')
    expect(await isIncompleteTarget(path('file'))).toBe(true)
  })

  it('is false for a pipe and does not read it', async () => {
    execFileSync('mkfifo', [path('pipe')])
    expect(await isIncompleteTarget(path('pipe'))).toBe(false)
  })

  it('fails for a path to nothing', async () => {
    await expectFailure(isIncompleteTarget(path('nowhere')), 'SOURCE_NOT_FOUND', path('nowhere'))
  })
})
