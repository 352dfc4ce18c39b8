import { createHash } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { seededRandom } from '../../src/random.ts'
import { encodeRbdRecord, type RbdRecord, type WritableRbdRecord } from '../../src/rbd/index.ts'
import { CephCluster } from '../lab/ceph-cluster.ts'
import { applyRecords, readRecords } from '../unit/rbd/read-records.ts'

const MIB = 1024 * 1024
const SIZE_BYTES = 12 * MIB + 12_345

const encode = (records: readonly WritableRbdRecord[], version: 1 | 2): Buffer =>
  Buffer.concat(records.flatMap((record) => encodeRbdRecord(record, version)))

const digest = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')

/** Stretches of data and zeros in no order and of any grain, some longer than an object, none over another. */
function randomExtents(seed: number): WritableRbdRecord[] {
  const random = seededRandom(seed)
  const between = (least: number, most: number): number => least + Math.floor(random() * (most - least))
  const extents: WritableRbdRecord[] = []
  for (let at = between(0, 5000); at < SIZE_BYTES - 1;) {
    const lengthBytes = Math.min(SIZE_BYTES - at, random() < 0.1 ? between(4 * MIB, 6 * MIB) : between(1, 100_000))
    const pattern = `${seed} ${at} `
    extents.push(
      random() < 0.4
        ? { kind: 'zeros', offset: at, lengthBytes }
        : { kind: 'data', offset: at, bytes: Buffer.alloc(lengthBytes, pattern) },
    )
    at += lengthBytes + between(0, 600_000)
  }
  return extents
    .map((extent) => ({ extent, key: random() }))
    .sort((a, b) => a.key - b.key)
    .map(({ extent }) => extent)
}

const diff = (extents: readonly WritableRbdRecord[], ...heads: readonly WritableRbdRecord[]): WritableRbdRecord[] => [
  ...heads,
  { kind: 'size', sizeBytes: SIZE_BYTES },
  ...extents,
  { kind: 'end' },
]

describe('streams of the real rbd', () => {
  let ceph: CephCluster
  beforeAll(async () => {
    ceph = await CephCluster.up()
  })
  afterAll(() => ceph.down())

  const exported = (state: string): Buffer => ceph.rbdPipe(['export', '--no-progress', state, '-'])

  it('what we write as diffs of version 1, rbd takes, and what rbd writes of it, we read', () => {
    ceph.rbd('create', '--size', '1M', 'rbd/one')
    let image: Uint8Array = new Uint8Array(0)
    for (const seed of [1, 2, 3]) {
      const from: WritableRbdRecord[] = seed === 1 ? [] : [{ kind: 'from-snapshot', name: `s${seed - 1}` }]
      const head: WritableRbdRecord = { kind: 'diff', version: 1 }
      const records = diff(randomExtents(seed), head, ...from, { kind: 'to-snapshot', name: `s${seed}` })
      ceph.rbdPipe(['import-diff', '--no-progress', '-', 'rbd/one'], encode(records, 1))
      image = applyRecords(image, records)
      expect(digest(exported(`rbd/one@s${seed}`))).toBe(digest(image))
    }
    const previous = exported('rbd/one@s2')
    for (const [options, start] of [
      [[], new Uint8Array(0)],
      [['--whole-object'], new Uint8Array(0)],
      [['--from-snap', 's2'], previous],
      [['--from-snap', 's2', '--whole-object'], previous],
    ] as const) {
      const stream = ceph.rbdPipe(['export-diff', '--no-progress', ...options, 'rbd/one@s3', '-'])
      const { records, fault } = readRecords([stream])
      expect(fault).toBeUndefined()
      expect(digest(applyRecords(start, records))).toBe(digest(image))
    }
  })

  it('what we write as an image of version 2, rbd takes, and writes it as we read it', () => {
    const [first, second, head] = [4, 5, 6].map(randomExtents)
    const heads: WritableRbdRecord[] = [{ kind: 'diff', version: 2 }]
    const records: WritableRbdRecord[] = [
      { kind: 'image' },
      { kind: 'order', order: 20 },
      { kind: 'metadata', key: 'purpose', value: 'a test' },
      { kind: 'diffs', count: 3 },
      ...diff(first!, ...heads, { kind: 'to-snapshot', name: 'a' }, { kind: 'protection', isProtected: true }),
      ...diff(second!, ...heads, { kind: 'from-snapshot', name: 'a' }, { kind: 'to-snapshot', name: 'b' }),
      ...diff(head!, ...heads, { kind: 'from-snapshot', name: 'b' }),
    ]
    ceph.rbdPipe(['import', '--no-progress', '--export-format', '2', '-', 'rbd/two'], encode(records, 2))
    expect(digest(exported('rbd/two'))).toBe(digest(applyRecords(new Uint8Array(0), records as RbdRecord[])))
    const snapshots = JSON.parse(ceph.rbd('snap', 'ls', '--format', 'json', 'rbd/two')) as Record<string, unknown>[]
    expect(snapshots.map(({ name, protected: isProtected }) => [name, isProtected])).toEqual([
      ['a', 'true'],
      ['b', 'false'],
    ])
    expect(ceph.rbd('image-meta', 'get', 'rbd/two', 'purpose').trim()).toBe('a test')

    const stream = ceph.rbdPipe(['export', '--no-progress', '--export-format', '2', 'rbd/two', '-'])
    const back = readRecords([stream])
    expect(back.fault).toBeUndefined()
    const said = back.records.filter(({ kind }) => ['order', 'metadata', 'protection', 'to-snapshot'].includes(kind))
    expect(said).toEqual([
      { kind: 'order', order: 20 },
      { kind: 'metadata', key: 'purpose', value: 'a test' },
      { kind: 'to-snapshot', name: 'a' },
      { kind: 'protection', isProtected: true },
      { kind: 'to-snapshot', name: 'b' },
      { kind: 'protection', isProtected: false },
    ])
    const states = ['rbd/two@a', 'rbd/two@b', 'rbd/two'].map((state) => digest(exported(state)))
    let image: Uint8Array = new Uint8Array(0)
    const ends = back.records.flatMap(({ kind }, index) => (kind === 'end' ? [index + 1] : []))
    for (const [index, end] of ends.entries()) {
      image = applyRecords(image, back.records.slice(ends[index - 1] ?? 0, end))
      expect(digest(image)).toBe(states[index])
    }
    // Objects of 1 MiB, pieces of 256 KiB: rbd's records are longer than ours, what they hold is the same.
    const again = encode(back.records as WritableRbdRecord[], 2)
    ceph.rbdPipe(['import', '--no-progress', '--export-format', '2', '-', 'rbd/again'], again)
    expect(digest(exported('rbd/again'))).toBe(states[2])
  })

  it('rbd refuses a stream that is cut off, too, and does not notice a wrong length of a protection record', () => {
    const records: WritableRbdRecord[] = [
      { kind: 'diff', version: 1 },
      { kind: 'size', sizeBytes: MIB },
      { kind: 'end' },
    ]
    ceph.rbd('create', '--size', '1M', 'rbd/cut')
    const stream = encode(records, 1)
    expect(() => ceph.rbdPipe(['import-diff', '-', 'rbd/cut'], stream.subarray(0, -1))).toThrow('failed to decode tag')
    ceph.rbdPipe(['import-diff', '-', 'rbd/cut'], stream)
    const image = encode(
      [
        ...[{ kind: 'image' }, { kind: 'diffs', count: 2 }, { kind: 'diff', version: 2 }],
        ...[
          { kind: 'to-snapshot', name: 'a' },
          { kind: 'protection', isProtected: true },
        ],
        ...[
          ...records.slice(1),
          { kind: 'diff', version: 2 },
          { kind: 'from-snapshot', name: 'a' },
          ...records.slice(1),
        ],
      ] as WritableRbdRecord[],
      2,
    )
    image[image.indexOf('p\x08') + 1] = 1
    ceph.rbdPipe(['import', '--export-format', '2', '-', 'rbd/quirk'], image)
    expect(ceph.rbd('snap', 'ls', '--format', 'json', 'rbd/quirk')).toContain('"protected":"true"')
    expect(readRecords([image]).fault).toBeUndefined()
  })
})
