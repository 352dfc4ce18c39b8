import { execFileSync } from 'node:child_process'
import { cpSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { beforeEach, describe, expect, it } from 'vitest'
import type { compileProgram } from '../../src/cli/load-program.ts'
import { DIST, useFolder } from './programs.ts'

const PROGRAMS = ['send', 'recv', 'keygen', 'probe', 'demo', 'deploy', 'host']

const at = useFolder()

it.each(PROGRAMS)('%s is compiled beforehand for the Node.js that built it', (name) => {
  const cli = join(DIST, 'cli')
  const loader = createRequire(import.meta.url)(join(cli, 'load-program.js')) as {
    compileProgram: typeof compileProgram
  }
  const path = join(cli, `${name}-program.js`)
  const script = loader.compileProgram(
    readFileSync(path, 'latin1'),
    path,
    readFileSync(join(cli, `${name}-program.code`)),
  )
  expect(script.cachedDataRejected).toBe(false)
})

describe('a program whose compiled form cannot be used is compiled anew', () => {
  const code = (): string => at('dist/cli/recv-program.code')
  const version = (...options: string[]): string =>
    execFileSync(process.execPath, [...options, at('dist/cli/recv.js'), '--version'], { encoding: 'utf8' }).trim()
  let wanted = ''

  beforeEach(() => {
    cpSync(join(DIST, 'cli'), at('dist/cli'), { recursive: true })
    cpSync(join(DIST, '../package.json'), at('package.json'))
    wanted = (JSON.parse(readFileSync(at('package.json'), 'utf8')) as { version: string }).version
  })

  it('as there is none', () => {
    rmSync(code())
    expect(version()).toBe(wanted)
  })

  it('as it is of other options of V8', () => {
    expect(version('--no-lazy')).toBe(wanted)
  })

  it('as it is damaged', () => {
    const bytes = readFileSync(code())
    for (const cut of [0, 40, 50, bytes.length / 2]) {
      writeFileSync(code(), bytes.subarray(0, cut))
      expect(version()).toBe(wanted)
    }
    writeFileSync(code(), bytes.fill(0x55, 40))
    expect(version()).toBe(wanted)
  })

  it('as it is of another text of the same length', () => {
    const path = at('dist/cli/recv-program.js')
    const text = readFileSync(path, 'latin1')
    const changed = text.replace('"skilfish-recv"', '"changed--recv"')
    expect(changed).not.toBe(text)
    writeFileSync(path, changed.replace(/^\/\*./, '/*x'))
    expect(execFileSync(process.execPath, [at('dist/cli/recv.js'), '--help'], { encoding: 'utf8' })).toContain(
      'changed--recv',
    )
  })
})
