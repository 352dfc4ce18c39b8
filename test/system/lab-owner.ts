import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { compiled } from './compiled.ts'

const MODULES = ['command', 'free-packets', 'namespaces', 'network-commands', 'packet-losses', 'lab']

export interface OwnerResult {
  readonly pid: number
  readonly status: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

export interface OwnerOptions {
  /** Commands that shadow those of the system: name → shell script. */
  readonly commands?: Readonly<Record<string, string>>
  /** A command that the process is started through. */
  readonly through?: readonly string[]
}

/**
 * Runs a script in a Node.js process of its own, to its end, with `Lab` and `listNamespaces` at hand. The lab's modules are
 * compiled for it.
 */
export function runLabOwner(script: string, { commands = {}, through = [] }: OwnerOptions = {}): OwnerResult {
  const folder = mkdtempSync(join(tmpdir(), 'skilfish-lab-owner-'))
  try {
    for (const name of MODULES) {
      writeFileSync(join(folder, `${name}.js`), compiled(new URL(`../lab/${name}.ts`, import.meta.url)))
    }
    for (const [name, body] of Object.entries(commands))
      writeFileSync(join(folder, name), `#!/bin/sh\n${body}\n`, { mode: 0o755 })
    writeFileSync(join(folder, 'package.json'), '{ "type": "module" }')
    writeFileSync(
      join(folder, 'owner.js'),
      `import { Lab } from './lab.js'\nimport { listNamespaces } from './namespaces.js'\n${script}\n`,
    )
    const env = { ...process.env, PATH: `${folder}:${process.env['PATH'] ?? ''}` }
    return spawnSync('env', [...through, process.execPath, join(folder, 'owner.js')], { encoding: 'utf8', env })
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
