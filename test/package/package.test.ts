import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'

interface Manifest {
  readonly version: string
  readonly exports: Readonly<Record<string, unknown>>
  readonly bin: Readonly<Record<string, string>>
}

const root = join(import.meta.dirname, '../..')
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as Manifest

describe('the packed package, installed elsewhere', () => {
  const folder = mkdtempSync(join(tmpdir(), 'skilfish-package-'))
  const run = (command: string, ...args: string[]): string =>
    execFileSync(command, args, { cwd: folder, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })

  beforeAll(() => {
    const packed = execFileSync('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', folder], {
      ...{ cwd: root, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] },
    })
    const [{ filename }] = JSON.parse(packed) as [{ filename: string }]
    writeFileSync(join(folder, 'package.json'), '{"type":"module","private":true}')
    run('npm', 'install', '--no-audit', '--no-fund', '--prefer-offline', join(folder, filename))
  })

  afterAll(() => rmSync(folder, { recursive: true, force: true }))

  const modules = Object.keys(manifest.exports).filter((path) => !path.endsWith('.json'))

  it.each(modules)('export %s can be imported and is not empty', (path) => {
    const name = JSON.stringify(path.replace(/^\./, 'skilfish'))
    const script = `import(${name}).then((module) => console.log(Object.keys(module).length))`
    expect(Number(run(process.execPath, '--input-type=module', '-e', script))).toBeGreaterThan(0)
  })

  it.each(Object.keys(manifest.bin))('%s runs and tells its version', (name) => {
    expect(run(join(folder, 'node_modules/.bin', name), '--version').trim()).toBe(manifest.version)
  })

  it('works without the optional package koffi', () => {
    rmSync(join(folder, 'node_modules/koffi'), { recursive: true, force: true })
    expect(run(join(folder, 'node_modules/.bin/skilfish-recv'), '--help')).toContain('TARGET')
  })
})
