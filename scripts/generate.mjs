// Makes everything under src/*/generated: wasm kernels (AssemblyScript) and control messages (protobuf).
// Generated files are built, never committed, so they cannot drift from their sources.
// `node scripts/generate.mjs [fec] [lzo] [trust] [protocol]` makes the named parts only; without names, all.
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const at = (path) => join(import.meta.dirname, '..', path)
const bin = (name) => at(`node_modules/.bin/${name}`)

/** Runs `make` only when the sources differ from those of the last run. */
function generate(folder, sources, make) {
  const hash = createHash('sha256')
  for (const path of [...sources, 'scripts/generate.mjs', 'package-lock.json']) hash.update(readFileSync(at(path)))
  const stamp = at(`${folder}/.stamp`)
  const digest = hash.digest('hex')
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === digest) return
  rmSync(at(folder), { recursive: true, force: true })
  mkdirSync(at(folder), { recursive: true })
  make()
  writeFileSync(stamp, digest)
}

/**
 * Compiles one kernel, with a memory of `pages` times 64 KiB that never grows, and writes its bytes as a base64 string,
 * so that it loads without a file system.
 */
function kernel(source, target, features, pages) {
  const wasm = at(`${target}.wasm`)
  execFileSync(bin('asc'), [
    at(source),
    ...['-O3', '--noAssert', '--runtime', 'stub'],
    ...['--initialMemory', String(pages), '--maximumMemory', String(pages)],
    ...features.flatMap((feature) => ['--enable', feature]),
    ...['--outFile', wasm],
  ])
  const base64 = readFileSync(wasm).toString('base64')
  writeFileSync(at(`${target}.ts`), `// Generated from ${source}\nexport const WASM_BASE64: string =\n  '${base64}'\n`)
  rmSync(wasm)
}

const assembly = (folder) => readdirSync(at(folder)).map((name) => `${folder}/${name}`)

const PARTS = {
  fec() {
    generate('src/fec/generated', assembly('src/fec/assembly'), () => {
      const source = 'src/fec/assembly/combine.ts'
      kernel(source, 'src/fec/generated/simd', ['simd'], 34)
      kernel(source, 'src/fec/generated/relaxed', ['simd', 'relaxed-simd'], 34)
    })
  },

  lzo() {
    generate('src/lzo/generated', assembly('src/lzo/assembly'), () => {
      kernel('src/lzo/assembly/lzo1x.ts', 'src/lzo/generated/lzo1x', ['simd'], 34)
    })
  },

  trust() {
    generate('src/trust/generated', assembly('src/trust/assembly'), () => {
      kernel('src/trust/assembly/nh.ts', 'src/trust/generated/nh', ['simd'], 4)
    })
  },

  protocol() {
    generate('src/protocol/generated', ['src/protocol/control.proto'], () => {
      const js = at('src/protocol/generated/control.js')
      const proto = at('src/protocol/control.proto')
      const flags = ['--no-create', '--no-verify', '--no-convert', '--no-delimited', '--no-typeurl', '--no-service']
      execFileSync(bin('pbjs'), ['-t', 'static-module', '-w', 'es6', '--es6', ...flags, '-o', js, proto])
      execFileSync(bin('pbts'), ['-o', at('src/protocol/generated/control.d.ts'), js])
    })
  },
}

const names = process.argv.slice(2)
for (const name of names.length > 0 ? names : Object.keys(PARTS)) {
  if (!Object.hasOwn(PARTS, name))
    throw new RangeError(`No part ${name} to generate; parts are ${Object.keys(PARTS).join(', ')}`)
  PARTS[name]()
}
