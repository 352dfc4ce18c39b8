// Records test/vectors/rbd anew with the rbd on this machine (see the README there). CEPH_CONF names a cluster with a pool `rbd`,
// in which the images skilfish-vector and skilfish-clone are made and removed. The same rbd writes the same bytes, except for the
// feature bits that the cluster gives to new images.
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'

const folder = new URL('../test/vectors/rbd/', import.meta.url)
const IMAGE = 'rbd/skilfish-vector'
const CLONE = 'rbd/skilfish-clone'
/** Not a whole number of pages. */
const SIZE_BYTES = 40_000

const rbd = (args, input) =>
  execFileSync('rbd', args, { input, stdio: [input === undefined ? 'ignore' : 'pipe', 'pipe', 'ignore'] })

function u64(value) {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64LE(BigInt(value))
  return bytes
}
const data = (offset, text, lengthBytes) =>
  Buffer.concat([Buffer.from('w'), u64(offset), u64(lengthBytes), Buffer.alloc(lengthBytes, text)])
const zeros = (offset, lengthBytes) => Buffer.concat([Buffer.from('z'), u64(offset), u64(lengthBytes)])
const change = (image, ...records) =>
  rbd(['import-diff', '-', image], Buffer.concat([Buffer.from('rbd diff v1\n'), ...records, Buffer.from('e')]))

mkdirSync(folder, { recursive: true })
rbd(['create', '--size', `${SIZE_BYTES}B`, '--object-size', '8K', '--image-feature', 'layering,exclusive-lock', IMAGE])
change(IMAGE, data(100, 'first ', 1000), data(8192, 'second object ', 3000), data(39_000, 'the end ', 1000))
rbd(['snap', 'create', `${IMAGE}@one`])
rbd(['snap', 'protect', `${IMAGE}@one`])
change(IMAGE, data(4096, 'changed ', 600), zeros(8192, 2000), data(20_000, 'new ', 300))
rbd(['snap', 'create', `${IMAGE}@zwei-ä`])
rbd(['image-meta', 'set', IMAGE, 'purpose', 'a test of Skilfish'])
change(IMAGE, data(30_000, 'head ', 50))
rbd(['clone', `${IMAGE}@one`, CLONE])
change(CLONE, zeros(8192, 8192), data(16_384, 'clone ', 100))
rbd(['snap', 'create', `${CLONE}@one`])

const WANTED = [
  { file: 'full.diff', args: ['export-diff', `${IMAGE}@one`, '-'], state: `${IMAGE}@one` },
  { file: 'head.diff', args: ['export-diff', IMAGE, '-'], state: IMAGE },
  { file: 'delta.diff', args: ['export-diff', '--from-snap', 'one', `${IMAGE}@zwei-ä`, '-'], state: `${IMAGE}@zwei-ä` },
  { file: 'whole-object.diff', args: ['export-diff', '--whole-object', `${IMAGE}@one`, '-'], state: `${IMAGE}@one` },
  { file: 'clone.diff', args: ['export-diff', `${CLONE}@one`, '-'], state: `${CLONE}@one` },
  { file: 'image.v2', args: ['export', '--export-format', '2', IMAGE, '-'], state: IMAGE },
]

const vectors = WANTED.map(({ file, args, state }) => {
  writeFileSync(new URL(file, folder), rbd(args))
  const sha256 = createHash('sha256')
    .update(rbd(['export', state, '-']))
    .digest('hex')
  return { file, command: ['rbd', ...args].join(' '), sha256 }
})
const tool = execFileSync('rbd', ['--version'], { encoding: 'utf8' }).trim()
writeFileSync(new URL('vectors.json', folder), `${JSON.stringify({ tool, vectors }, undefined, 2)}\n`)

rbd(['snap', 'purge', CLONE])
rbd(['rm', CLONE])
rbd(['snap', 'unprotect', `${IMAGE}@one`])
rbd(['snap', 'purge', IMAGE])
rbd(['rm', IMAGE])
