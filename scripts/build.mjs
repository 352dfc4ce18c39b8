// Compiles src to dist: tsc for our TypeScript, plus a copy of the generated JavaScript that tsc does not carry over. Each program
// is bundled with the packages that it uses, and their licences, and compiled by V8 beforehand (docs/decisions/0017).
// Compiles beside dist first, then moves over what has changed and removes what is gone: a failed build leaves dist as it
// was, and programs that run from dist meanwhile are not disturbed by a build that changes nothing.
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { createRequire } from 'node:module'
import { basename, dirname, join } from 'node:path'
import { setFlagsFromString } from 'node:v8'
import { buildSync } from 'esbuild'

const root = join(import.meta.dirname, '..')
const dist = join(root, 'dist')

/** `src/cli/NAME.ts` becomes `dist/cli/NAME-program.js`. */
const programs = ['send', 'recv', 'keygen', 'probe', 'demo', 'deploy', 'host']

/** What is called, `dist/cli/NAME.js`: it loads the program of that name, or one that it chooses. */
const commands = Object.values(JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).bin).map((path) =>
  basename(path, '.js'),
)

/** Paths of all files under a folder, relative to it. */
function filesIn(folder) {
  if (!existsSync(folder)) return []
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true })
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1))
}

function compileInto(folder) {
  const tsc = join(root, 'node_modules/.bin/tsc')
  execFileSync(tsc, ['-p', join(root, 'tsconfig.build.json'), '--outDir', folder], { stdio: 'inherit' })
  mkdirSync(join(folder, 'protocol/generated'), { recursive: true })
  for (const name of ['control.js', 'control.d.ts']) {
    cpSync(join(root, 'src/protocol/generated', name), join(folder, 'protocol/generated', name))
  }
}

function bundleCommands(folder) {
  const cli = join(folder, 'cli')
  rmSync(cli, { recursive: true })
  const entries = programs.map((name) => ({ in: join(root, `src/cli/${name}.ts`), out: `${name}-program` }))
  const others = ['cli/skilfish', 'cli/load-program', 'sender/encode-worker'].map((path) =>
    join(root, `src/${path}.ts`),
  )
  const { metafile } = buildSync({
    ...{ absWorkingDir: root, metafile: true },
    ...{
      entryPoints: [...entries, ...others.map((path) => ({ in: path, out: basename(path, '.ts') }))],
      outdir: cli,
    },
    ...{
      bundle: true,
      // Half of what would have to be read is comments and white space. Names stay, for whoever reads a stack trace.
      minifyWhitespace: true,
      lineLimit: 120,
      // It loads a native addon from its own folder.
      external: ['koffi'],
      platform: 'node',
      // Node.js takes longer to load modules of ECMAScript, and can compile only scripts beforehand.
      format: 'cjs',
      define: { 'import.meta.url': 'fileUrl', 'import.meta.dirname': '__dirname' },
      banner: { js: "const fileUrl = require('node:url').pathToFileURL(__filename).href;" },
      target: 'node20.19',
      sourcemap: true,
    },
    logLevel: 'error',
  })
  writeFileSync(join(cli, 'package.json'), '{ "type": "commonjs" }\n')
  writeFileSync(join(cli, 'LICENSES.txt'), licensesOf(Object.keys(metafile.inputs)))
  for (const name of commands) {
    // The one that chooses a program has code of its own.
    if (!programs.includes(name)) continue
    writeFileSync(join(cli, `${name}.js`), `#!/usr/bin/env node\nrequire('./load-program.js').loadProgram('${name}')\n`)
  }
  compilePrograms(join(cli, 'load-program.js'))
}

/** Compiles all functions of each program beforehand, for this version of Node.js. */
function compilePrograms(loaderPath) {
  const { compileProgram, compiledCode, programPaths } = createRequire(import.meta.url)(loaderPath)
  for (const name of programs) {
    const { bundle, code } = programPaths(name)
    const plain = readFileSync(bundle, 'latin1')
    const text = `/*${createHash('sha256').update(plain).digest('hex').slice(0, 36)}*/${plain}`
    writeFileSync(bundle, text)
    setFlagsFromString('--no-lazy')
    const script = compileProgram(text, bundle)
    setFlagsFromString('--lazy')
    writeFileSync(code, compiledCode(text, script))
  }
}

/** The licences of the packages that these files are of. */
function licensesOf(files) {
  const packages = new Set(files.flatMap((file) => /^.*node_modules\/(?:@[^/]+\/)?[^/]+(?=\/)/.exec(file) ?? []))
  const texts = [...packages].sort().map((path) => {
    const at = join(root, path)
    const { name, version, license } = JSON.parse(readFileSync(join(at, 'package.json'), 'utf8'))
    const file = readdirSync(at).find((entry) => /^licen[cs]e/i.test(entry))
    const text = file === undefined ? `Licence: ${license}` : readFileSync(join(at, file), 'utf8').trim()
    return `${name} ${version}\n\n${text}\n`
  })
  return `These packages are part of the commands beside this file.\n\n${texts.join('\n')}`
}

function moveChanged(from, to) {
  const files = new Set(filesIn(from))
  for (const file of files) {
    const target = join(to, file)
    if (existsSync(target) && readFileSync(target).equals(readFileSync(join(from, file)))) continue
    mkdirSync(dirname(target), { recursive: true })
    renameSync(join(from, file), target)
  }
  for (const file of filesIn(to)) if (!files.has(file)) rmSync(join(to, file), { force: true })
}

// In the root, so that source maps name the same relative paths as they do in dist.
const folder = mkdtempSync(join(root, 'dist-'))
try {
  compileInto(folder)
  bundleCommands(folder)
  moveChanged(folder, dist)
  for (const name of commands) chmodSync(join(dist, `cli/${name}.js`), 0o755)
} catch (error) {
  // The compilers have told their errors; anything else is a fault of this script.
  if (error.status === undefined && error.errors === undefined) throw error
  process.exitCode = 1
} finally {
  rmSync(folder, { recursive: true, force: true })
}
