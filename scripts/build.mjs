// Compiles src to dist: tsc for our TypeScript, plus a copy of the generated JavaScript that tsc does not carry over. Each command
// is bundled, without the packages that it uses: loading some hundred modules one by one takes 80 ms more.
// Compiles beside dist first, then moves over what has changed and removes what is gone: a failed build leaves dist as it
// was, and programs that run from dist meanwhile are not disturbed by a build that changes nothing.
import { execFileSync } from 'node:child_process'
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
} from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { buildSync } from 'esbuild'

const root = join(import.meta.dirname, '..')
const dist = join(root, 'dist')

/** Names of the commands: `src/cli/NAME.ts` becomes `dist/cli/NAME.js`. */
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
  const entries = commands.map((name) => ({ in: join(root, `src/cli/${name}.ts`), out: name }))
  // Started by name, beside whichever bundle starts it.
  const encodeWorker = { in: join(root, 'src/sender/encode-worker.ts'), out: 'encode-worker' }
  buildSync({
    ...{ entryPoints: [...entries, encodeWorker], outdir: cli },
    ...{
      bundle: true,
      splitting: true,
      packages: 'external',
      platform: 'node',
      format: 'esm',
      target: 'node20.19',
      sourcemap: true,
    },
    logLevel: 'error',
  })
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
