// Compiles src to dist: tsc for our TypeScript, plus a copy of the generated JavaScript that tsc does not carry over.
import { execFileSync } from 'node:child_process'
import { chmodSync, cpSync, mkdirSync, rmSync } from 'node:fs'

const at = (path) => new URL(`../${path}`, import.meta.url).pathname

rmSync(at('dist'), { recursive: true, force: true })
execFileSync(at('node_modules/.bin/tsc'), ['-p', at('tsconfig.build.json')], { stdio: 'inherit' })
mkdirSync(at('dist/protocol/generated'), { recursive: true })
for (const name of ['control.js', 'control.d.ts']) {
  cpSync(at(`src/protocol/generated/${name}`), at(`dist/protocol/generated/${name}`))
}
for (const name of ['send', 'recv', 'demo']) chmodSync(at(`dist/cli/${name}.js`), 0o755)
