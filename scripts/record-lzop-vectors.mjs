// Records test/vectors/lzo anew with the lzop on this machine (see the README there). The same lzop writes the same bytes.
import { execFileSync } from 'node:child_process'
import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, openSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const folder = new URL('../test/vectors/lzo/', import.meta.url)

/** A little of everything that a disk holds; the first 1000 bytes do not compress. Marsaglia's xorshift32 makes the noise. */
function makeMixed() {
  let state = 1
  const noise = (count) =>
    Uint8Array.from({ length: count }, () => {
      state ^= state << 13
      state ^= state >>> 17
      state ^= state << 5
      return state & 0xff
    })
  const text = Array.from({ length: 60 }, (_, line) => `${line} bottles of beer, ${line * line} on the wall\n`)
  const records = Array.from({ length: 64 }, (_, n) => [n, 0, 0, 0, 0xff, 0xff, n * 7, n ^ 5])
  return Buffer.concat([
    noise(1000),
    Buffer.from(text.join('')),
    new Uint8Array(2500),
    Buffer.from(records.flat()),
    noise(40),
  ])
}

const mixed = makeMixed()
const cut = (lengthBytes) => Buffer.alloc(lengthBytes, mixed)
const TWO_BLOCKS = 300_000

const WANTED = [
  { file: 'level-1.lzo', options: ['-1'], plainBytes: TWO_BLOCKS },
  { file: 'level-3.lzo', options: ['-3'], plainBytes: TWO_BLOCKS },
  { file: 'level-9.lzo', options: ['-9'], plainBytes: TWO_BLOCKS },
  { file: 'no-checksum.lzo', options: ['-F'], plainBytes: TWO_BLOCKS },
  { file: 'both-adler32.lzo', options: ['-C', '-C'], plainBytes: TWO_BLOCKS },
  { file: 'crc32.lzo', options: ['--crc32'], plainBytes: TWO_BLOCKS },
  { file: 'both-crc32.lzo', options: ['--crc32', '-C', '-C'], plainBytes: TWO_BLOCKS },
  { file: 'stored.lzo', options: ['-C', '-C'], plainBytes: 1000 },
  { file: 'path.lzo', options: ['-P'], plainBytes: 5000, name: 'folder/mixed.bin' },
  { file: 'stdin.lzo', options: [], plainBytes: 5000, name: '' },
  { file: 'empty.lzo', options: [], plainBytes: 0 },
  { file: 'filter.lzo', options: ['--filter=1'], plainBytes: 5000 },
]

const work = mkdtempSync(join(tmpdir(), 'lzop-vectors-'))
mkdirSync(join(work, 'folder'))
const vectors = WANTED.map(({ file, options, plainBytes, name = 'mixed.bin' }) => {
  const path = name || 'mixed.bin'
  writeFileSync(join(work, path), cut(plainBytes))
  chmodSync(join(work, path), 0o640)
  utimesSync(join(work, path), 1_700_000_000, 1_700_000_000)
  const args = [...options, '-o', file, ...(name ? [name] : [])]
  execFileSync('lzop', args, { cwd: work, stdio: [openSync(join(work, path)), 'inherit', 'inherit'] })
  copyFileSync(join(work, file), new URL(file, folder))
  return { file, command: ['lzop', ...args, ...(name ? [] : [`< ${path}`])].join(' '), name, plainBytes }
})
rmSync(work, { recursive: true })

const tool = execFileSync('lzop', ['--version'], { encoding: 'utf8' }).split('\n').slice(0, 2).join(', ')
writeFileSync(new URL('mixed.bin', folder), mixed)
writeFileSync(new URL('vectors.json', folder), `${JSON.stringify({ tool, vectors }, undefined, 2)}\n`)
