import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { RbdSink } from '../../src/io/rbd-sink.ts'
import { RbdSource } from '../../src/io/rbd-source.ts'
import { isIncompleteTarget, openSink, openSource } from '../../src/io/index.ts'
import { encodeRbdRecord, type WritableRbdRecord } from '../../src/rbd/index.ts'
import { isRandomAccess, type Extent, type ImageFacts, type Range, type StreamSource } from '../../src/sparse/index.ts'
import { CephCluster } from '../lab/ceph-cluster.ts'
import { loopback, messages, start, useFolder } from '../e2e/programs.ts'
import { expectFailure } from '../unit/io/expect-failure.ts'

const MIB = 1024 * 1024
const SIZE_BYTES = 24 * MIB + 5000

/** For tests of a cluster that will not answer: patient with commands until it is told not to be. */
const patienceUntilHung = (): { commandMs: number; silenceMs: number } => ({ commandMs: 60_000, silenceMs: 300 })

const digest = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')

const facts = (imageId: string, sizeBytes: number | undefined): ImageFacts => ({ name: imageId, imageId, sizeBytes })

let ceph: CephCluster
beforeAll(async () => {
  ceph = await CephCluster.up()
  process.env['CEPH_CONF'] = ceph.confPath
})
afterAll(async () => {
  delete process.env['CEPH_CONF']
  await ceph.down()
})
afterEach(() => vi.unstubAllEnvs())

const exported = (state: string): Buffer => ceph.rbdPipe(['export', '--no-progress', state, '-'])

const stateOf = (image: string): string => ceph.rbd('image-meta', 'get', image, 'skilfish.image').trim()

/** Applies changes to an image by `rbd` itself. */
function change(image: string, ...records: readonly WritableRbdRecord[]): void {
  const all: WritableRbdRecord[] = [{ kind: 'diff', version: 1 }, ...records, { kind: 'end' }]
  ceph.rbdPipe(
    ['import-diff', '--no-progress', '-', image],
    Buffer.concat(all.flatMap((one) => encodeRbdRecord(one, 1))),
  )
}

const data = (offset: number, bytes: Uint8Array): WritableRbdRecord => ({ kind: 'data', offset, bytes })

/** The process id of a child of this process. */
function childRunning(command: string): number {
  const found = readdirSync('/proc').find((pid) => {
    try {
      const isOurs = readFileSync(`/proc/${pid}/stat`, 'utf8').includes(` ${process.pid} `)
      return isOurs && readFileSync(`/proc/${pid}/cmdline`, 'utf8').startsWith(command.replaceAll(' ', '\0'))
    } catch {
      return false
    }
  })
  if (found === undefined) throw new Error(`${command} does not run`)
  return Number(found)
}

async function open(name: string): Promise<StreamSource> {
  const source = await openSource(name)
  if (isRandomAccess(source)) throw new Error('expected a stream')
  return source
}

interface Collected {
  readonly image: Buffer
  readonly ranges: readonly Range[]
  readonly dataBytes: number
}

async function collect(extents: AsyncIterable<Extent>, sizeBytes = SIZE_BYTES): Promise<Collected> {
  const image = Buffer.alloc(sizeBytes)
  const ranges: Range[] = []
  for await (const extent of extents) {
    if (!('data' in extent)) throw new Error('expected data')
    image.set(extent.data, extent.offset)
    ranges.push({ start: extent.offset, end: extent.offset + extent.data.length })
  }
  return { image, ranges, dataBytes: ranges.reduce((sum, { start, end }) => sum + end - start, 0) }
}

describe('an RBD image as a source', () => {
  beforeAll(() => {
    ceph.rbd('create', '--size', `${SIZE_BYTES}B`, 'rbd/disk')
    change('rbd/disk', data(5 * MIB, Buffer.alloc(3 * MIB, 'one ')), data(SIZE_BYTES - 777, Buffer.alloc(777, 'end')))
    ceph.rbd('snap', 'create', '--no-progress', 'rbd/disk@one')
    change('rbd/disk', data(0, Buffer.alloc(100, 'later')))
  })

  it('yields the data of the snapshot in order, and does not read the holes', async () => {
    const source = await open('rbd:rbd/disk@one')
    expect([source.sizeBytes, source.label]).toEqual([SIZE_BYTES, 'rbd:rbd/disk@one'])
    const { image, ranges, dataBytes } = await collect(source.extents())
    expect(digest(image)).toBe(digest(exported('rbd/disk@one')))
    expect(ranges.every(({ start }, index) => start >= (ranges[index - 1]?.end ?? 0))).toBe(true)
    // From the start of the last object on it is one record, as it is for every object.
    expect(dataBytes).toBeLessThan(5 * MIB)
    await source.close?.()
  })

  it('in its present state has no identity; a snapshot has one, which another of that name does not have', async () => {
    const head = await open('rbd:disk')
    expect(digest((await collect(head.extents())).image)).toBe(digest(exported('rbd/disk')))
    expect(head.identity).toBeUndefined()
    const identity = async (): Promise<string | undefined> => (await open('rbd:disk@same')).identity
    ceph.rbd('snap', 'create', '--no-progress', 'rbd/disk@same')
    const [first, again] = [await identity(), await identity()]
    expect(first).toBe(again)
    ceph.rbd('snap', 'rm', '--no-progress', 'rbd/disk@same')
    ceph.rbd('snap', 'create', '--no-progress', 'rbd/disk@same')
    expect(await identity()).not.toBe(first)
  })

  it('of a namespace, and a clone whose parent has what it dropped, is what rbd says', async () => {
    ceph.rbd('namespace', 'create', 'rbd/site')
    ceph.rbd('clone', 'rbd/disk@one', 'rbd/site/clone')
    change(
      'rbd/site/clone',
      { kind: 'zeros', offset: 5 * MIB, lengthBytes: 2 * MIB },
      data(8 * MIB, Buffer.from('clone')),
    )
    const { image } = await collect((await open('rbd:rbd/site/clone')).extents())
    expect(digest(image)).toBe(digest(exported('rbd/site/clone')))
    expect(image.subarray(5 * MIB, 7 * MIB).every((byte) => byte === 0)).toBe(true)
  })

  it.each([
    ['rbd:rbd/none', 'SOURCE_NOT_FOUND', 'no such image'],
    ['rbd:none/disk', 'SOURCE_NOT_FOUND', "error opening pool 'none'"],
    ['rbd:rbd/none/disk', 'SOURCE_NOT_FOUND', "namespace 'none' does not exist"],
    ['rbd:disk@none', 'SOURCE_NOT_FOUND', 'error setting snapshot context'],
    ['rbd:a/b/c/d', 'OPTION_INVALID', 'expected rbd:[POOL/[NAMESPACE/]]IMAGE[@SNAPSHOT]'],
  ] as const)('%s is refused: %s', async (name, code, text) => {
    await expectFailure(openSource(name), code, name, text)
  })

  it('needs the program, and a user whom the cluster lets in', async () => {
    vi.stubEnv('CEPH_ARGS', '--id nobody')
    await expectFailure(openSource('rbd:disk'), 'RBD_UNREACHABLE', "couldn't connect to the cluster")
    vi.stubEnv('PATH', '/nonexistent')
    await expectFailure(openSource('rbd:disk'), 'RBD_MISSING', 'rbd cannot be started', 'no such file or directory')
  })

  it('whose program dies half way says so', async () => {
    const extents = (await open('rbd:disk@one')).extents()
    const read = async (): Promise<void> => {
      for await (const extent of extents) {
        if (extent.offset === 4 * MIB) process.kill(childRunning('rbd export-diff'), 'SIGKILL')
      }
    }
    await expectFailure(read(), 'SOURCE_FAILED', 'cannot read rbd:disk@one: rbd export-diff was ended by SIGKILL')
  })

  it('that is closed half way leaves no program behind', async () => {
    const source = await open('rbd:disk@one')
    const extents = source.extents()[Symbol.asyncIterator]()
    await extents.next()
    const pid = childRunning('rbd export-diff')
    await source.close?.()
    expect(() => process.kill(pid, 0)).toThrow('ESRCH')
  })

  it('waits for a cluster that hangs as long as it answers in time, and gives up when it does not', async () => {
    const patient = await RbdSource.open('rbd:disk@one', { patience: { commandMs: 60_000, silenceMs: 200 } })
    const patience = patienceUntilHung()
    const impatient = await RbdSource.open('rbd:disk@one', { patience })
    ceph.pause()
    patience.commandMs = 2000
    try {
      const late = collect(patient.extents())
      await expectFailure(collect(impatient.extents()), 'RBD_UNREACHABLE', 'rbd info did not end within 2 s')
      await expectFailure(RbdSource.open('rbd:disk', { patience }), 'RBD_UNREACHABLE', 'cannot look at rbd:disk')
      ceph.resume()
      expect(digest((await late).image)).toBe(digest(exported('rbd/disk@one')))
    } finally {
      ceph.resume()
    }
  })

  it('may be read as slowly as one likes', async () => {
    // A request of the cluster may take 2 s.
    const source = await RbdSource.open('rbd:disk@one', { patience: { commandMs: 1000, silenceMs: 1000 } })
    const extents = source.extents()
    const first = await extents.next()
    await new Promise((resolve) => setTimeout(resolve, 5000))
    expect(first.done).toBe(false)
    let last = first.value
    for await (const extent of extents) last = extent
    expect(last!.offset).toBeGreaterThan(20 * MIB)
  })

  it('whose requests the cluster leaves waiting is given up by rbd itself', async () => {
    const patience = { commandMs: 1000, silenceMs: 1000 }
    const source = await RbdSource.open('rbd:disk@one', { patience })
    ceph.pause()
    try {
      const read = collect(source.extents())
      read.catch(() => undefined)
      // The question whether the cluster answers is not what ends it.
      patience.commandMs = 60_000
      await new Promise((resolve) => setTimeout(resolve, 6000))
      ceph.resume()
      await expectFailure(read, 'RBD_UNREACHABLE', 'cannot read rbd:disk@one: rbd export-diff says')
    } finally {
      ceph.resume()
    }
  })

  it('that was resized meanwhile has changed', async () => {
    ceph.rbd('create', '--size', '1M', 'rbd/growing')
    const source = await open('rbd:growing')
    ceph.rbd('resize', '--no-progress', '--size', '2M', 'rbd/growing')
    await expectFailure(collect(source.extents()), 'SOURCE_CHANGED', '2097152 bytes now', '1048576')
  })
})

describe('an RBD image as a sink', () => {
  const pieces = [data(10 * MIB, Buffer.alloc(5 * MIB, 'b')), data(4096, Buffer.alloc(70_000, 'a'))] as const
  const expected = Buffer.alloc(SIZE_BYTES)
  for (const piece of pieces) if (piece.kind === 'data') expected.set(piece.bytes, piece.offset)

  /** Writes the pieces in that order, all at once, and zeroes what lies between them. */
  async function fill(sink: Awaited<ReturnType<typeof openSink>>): Promise<void> {
    await Promise.all([
      ...pieces.map((piece) => (piece.kind === 'data' ? sink.write(piece.offset, piece.bytes) : undefined)),
      sink.zero(0, 4096),
      sink.zero(4096 + 70_000, 10 * MIB - 4096 - 70_000),
      sink.zero(15 * MIB, SIZE_BYTES - 15 * MIB),
    ])
  }

  it('is made, says that it is incomplete until it is complete, and takes no room for holes', async () => {
    const sink = await openSink('rbd:rbd/new')
    expect(ceph.rbd('ls', 'rbd').split('\n')).not.toContain('new')
    await sink.open(facts('image one', SIZE_BYTES))
    expect(stateOf('rbd/new')).toBe('incomplete image one')
    await fill(sink)
    await sink.finish(SIZE_BYTES)
    expect(stateOf('rbd/new')).toBe('complete image one')
    expect(digest(exported('rbd/new'))).toBe(digest(expected))
    const allocated = JSON.parse(ceph.rbd('diff', '--format', 'json', 'rbd/new')) as { length: number }[]
    expect(allocated.reduce((sum, { length }) => sum + length, 0)).toBeLessThan(9 * MIB)
  })

  it('that was there is zeroed where the image has holes, unless it reads as zeros already', async () => {
    ceph.rbd('create', '--size', `${SIZE_BYTES}B`, 'rbd/stale')
    for (const assumeZeroed of [false, true]) {
      const stale = data(16 * MIB + 5, Buffer.alloc(MIB, 'stale'))
      change('rbd/stale', stale, data(0, Buffer.from('x')))
      const sink = await openSink('rbd:stale', { assumeZeroed })
      await sink.open(facts('again', SIZE_BYTES))
      await fill(sink)
      await sink.finish(SIZE_BYTES)
      const isZeroed = exported('rbd/stale')
        .subarray(16 * MIB + 5, 17 * MIB + 5)
        .every((byte) => byte === 0)
      expect(isZeroed).toBe(!assumeZeroed)
      if (!assumeZeroed) expect(digest(exported('rbd/stale'))).toBe(digest(expected))
    }
  })

  it('grows while the size is not known, and has it in the end', async () => {
    const sink = await openSink('rbd:grown')
    await sink.open(facts('a pipe', undefined))
    await fill(sink)
    await sink.finish(SIZE_BYTES)
    expect(digest(exported('rbd/grown'))).toBe(digest(expected))
  })

  it('of another size is refused and left alone', async () => {
    ceph.rbd('create', '--size', '1M', 'rbd/small')
    const small = await openSink('rbd:small')
    await expectFailure(small.open(facts('x', SIZE_BYTES)), 'TARGET_SIZE_DIFFERS', '1048576 bytes', `${SIZE_BYTES}`)
    expect(ceph.rbd('image-meta', 'ls', 'rbd/small')).not.toContain('skilfish')
    expect(await isIncompleteTarget('rbd:small')).toBe(false)
    const piped = await openSink('rbd:small')
    await piped.open(facts('x', undefined))
    await expectFailure(piped.write(MIB, Buffer.alloc(1)), 'TARGET_SIZE_DIFFERS', '1048576 bytes')
    await piped.abort()
  })

  it('that somebody uses is refused, also when they came while it waited', async () => {
    ceph.rbd('create', '--size', '1M', 'rbd/used')
    const waiting = await openSink('rbd:used')
    const watch = spawn('rbd', ['watch', 'rbd/used'], { stdio: ['pipe', 'pipe', 'ignore'] })
    await once(watch.stdout, 'data')
    await expectFailure(openSink('rbd:used'), 'TARGET_BUSY', '127.0.0.1', 'uses it')
    await expectFailure(waiting.open(facts('x', MIB)), 'TARGET_BUSY')
    watch.stdin.end('\n')
    await once(watch, 'exit')
    await openSink('rbd:used')
  })

  it('that is given up stays incomplete, and can be received again at once', async () => {
    for (const end of ['abort', 'finish'] as const) {
      const sink = await openSink('rbd:retried')
      await sink.open(facts(end, SIZE_BYTES))
      await fill(sink)
      if (end === 'abort') await sink.abort()
      else await sink.finish(SIZE_BYTES)
      expect(stateOf('rbd/retried')).toBe(end === 'abort' ? 'incomplete abort' : 'complete finish')
      expect(await isIncompleteTarget('rbd:rbd/retried')).toBe(end === 'abort')
    }
    expect(digest(exported('rbd/retried'))).toBe(digest(expected))
  })

  it('whose program dies half way says so, and stays incomplete', async () => {
    const sink = await openSink('rbd:killed')
    await sink.open(facts('x', SIZE_BYTES))
    process.kill(childRunning('rbd import-diff'), 'SIGKILL')
    const write = async (): Promise<void> => {
      for (let at = 0; ; at = (at + MIB) % (20 * MIB)) await sink.write(at, Buffer.alloc(MIB, 1))
    }
    await expectFailure(write(), 'TARGET_FAILED', 'cannot write rbd:killed: rbd import-diff was ended by SIGKILL')
    await expectFailure(sink.finish(SIZE_BYTES), 'TARGET_FAILED', 'SIGKILL')
    await sink.abort()
    expect(stateOf('rbd/killed')).toBe('incomplete x')
  })

  it('in a cluster that hangs is given up', async () => {
    const patience = patienceUntilHung()
    const sink = await RbdSink.prepare('rbd:hanging', false, { patience })
    await sink.open(facts('x', SIZE_BYTES))
    ceph.pause()
    patience.commandMs = 2000
    try {
      const write = async (): Promise<void> => {
        for (let at = 0; ; at = (at + MIB) % (20 * MIB)) await sink.write(at, Buffer.alloc(MIB, 1))
      }
      await expectFailure(write(), 'RBD_UNREACHABLE', 'rbd info did not end within 2 s')
    } finally {
      ceph.resume()
    }
    await sink.abort()
    expect(stateOf('rbd/hanging')).toBe('incomplete x')
  })

  it.each([
    ['rbd:disk@one', {}, 'OPTION_INVALID', 'name the image alone'],
    ['rbd:none/image', {}, 'TARGET_NOT_FOUND', "error opening pool 'none'"],
    ['rbd:rbd/none/image', {}, 'TARGET_NOT_FOUND', "namespace 'none' does not exist"],
    ['rbd:image', { sync: true }, 'TARGET_UNSUPPORTED', '--sync'],
    ['rbd:image', { direct: true }, 'TARGET_UNSUPPORTED', '--direct'],
  ] as const)('%s with %j is refused: %s', async (name, options, code, text) => {
    await expectFailure(openSink(name, options), code, name, text)
  })
})

describe('the commands', () => {
  const path = useFolder()

  it('send a snapshot to a file and to another image at once', async () => {
    ceph.rbd('create', '--size', '20000001B', 'rbd/origin')
    change('rbd/origin', data(1, Buffer.alloc(3 * MIB, 'origin ')), data(20_000_000, Buffer.from('!')))
    ceph.rbd('snap', 'create', '--no-progress', 'rbd/origin@sent')
    const net = loopback()
    const toFile = start('recv', ['--json', ...net, path('copy')])
    const toImage = start('recv', ['--json', ...net, 'rbd:rbd/copy'])
    const sent = await start('send', ['--json', ...net, '--min-receivers', '2', 'rbd:rbd/origin@sent']).ended
    const received = [await toFile.ended, await toImage.ended]
    expect([sent.status, ...received.map(({ status }) => status)], sent.stderr).toEqual([0, 0, 0])
    const [result] = messages(sent.stdout, 'result')
    expect(result).toMatchObject({ imageName: 'origin@sent', imageBytes: 20_000_001 })
    const original = digest(exported('rbd/origin@sent'))
    expect([digest(readFileSync(path('copy'))), digest(exported('rbd/copy'))]).toEqual([original, original])
    expect(stateOf('rbd/copy')).toBe(`complete ${String(result?.['imageId'])}`)
  })

  it('verify an image and a snapshot of it with the fingerprint, and tell one that differs or is not complete', async () => {
    const net = loopback()
    const source = Buffer.alloc(5 * MIB + 77)
    source.fill('verified ', MIB + 100, 3 * MIB)
    source.fill('end', source.length - 3)
    writeFileSync(path('image'), source)
    // With stale data where the image has holes, and pages of zeros in what the cluster has allocated.
    ceph.rbd('create', '--size', `${source.length}B`, 'rbd/checked')
    change('rbd/checked', data(0, Buffer.alloc(4 * MIB, 'stale')))
    const receiver = start('recv', ['--json', ...net, 'rbd:rbd/checked'])
    await start('send', ['--json', ...net, path('image')]).ended
    const fingerprint = String(messages((await receiver.ended).stdout, 'result')[0]?.['fingerprint'])
    ceph.rbd('snap', 'create', '--no-progress', 'rbd/checked@received')
    const verify = async (...args: readonly string[]): Promise<unknown[]> => {
      const { status, stdout } = await start('recv', ['--verify', '--json', ...args]).ended
      return [status, messages(stdout, 'error')[0]?.['code'] ?? messages(stdout, 'result')[0]?.['dataBytes']]
    }
    const given = ['--fingerprint', fingerprint]
    const dataBytes = 2 * MIB + 77
    expect(await verify(...given, 'rbd:checked')).toEqual([0, dataBytes])
    expect(await verify('rbd:checked')).toEqual([5, 'FINGERPRINT_MISSING'])
    change('rbd/checked', data(2 * MIB, Buffer.from('x')))
    expect(await verify(...given, 'rbd:checked')).toEqual([5, 'TARGET_DIFFERS'])
    expect(await verify(...given, 'rbd:checked@received')).toEqual([0, dataBytes])
    ceph.rbd('image-meta', 'set', 'rbd/checked', 'skilfish.image', 'incomplete x')
    expect(await verify(...given, 'rbd:checked')).toEqual([5, 'TARGET_UNFINISHED'])
    expect(await verify(...given, 'rbd:none')).toEqual([5, 'SOURCE_NOT_FOUND'])
  })

  it('tell in one sentence what is wrong, and end with the status of a storage fault', async () => {
    const sent = await start('send', ['--json', ...loopback(), 'rbd:rbd/nothing']).ended
    expect([sent.status, messages(sent.stdout, 'error')[0]?.['code']]).toEqual([5, 'SOURCE_NOT_FOUND'])
    const received = await start('recv', ['--json', ...loopback(), 'rbd:nowhere/copy']).ended
    expect([received.status, messages(received.stdout, 'error')[0]?.['code']]).toEqual([5, 'TARGET_NOT_FOUND'])
  })
})
