import { execFile } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import ts from 'typescript'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { seededRandom } from '../../src/random.ts'

const ROOT = join(import.meta.dirname, '../..')
const LOOPBACK = '127.0.0.1'
const MIB = 1024 * 1024

/** Not a user's group, and another one for each run, so that nobody else's session is taken. */
const group = (index: number): string => `239.192.83.${1 + (process.pid % 250)}:${20_000 + index}`

describe('the examples', () => {
  const folder = mkdtempSync(join(tmpdir(), 'skilfish-examples-'))
  const at = (name: string): string => join(folder, name)

  // As a user has them: in a folder of their own, where skilfish is an installed package. The oldest Node.js runs no TypeScript.
  beforeAll(() => {
    mkdirSync(at('node_modules'))
    symlinkSync(ROOT, at('node_modules/skilfish'))
    writeFileSync(at('package.json'), '{ "type": "module" }')
    for (const name of readdirSync(join(ROOT, 'examples')).filter((each) => each.endsWith('.ts'))) {
      const { outputText } = ts.transpileModule(readFileSync(join(ROOT, 'examples', name), 'utf8'), {
        compilerOptions: { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2023, verbatimModuleSyntax: true },
      })
      writeFileSync(at(name.replace(/\.ts$/, '.js')), outputText)
    }
  })

  afterAll(() => rmSync(folder, { recursive: true, force: true }))

  /** What the example prints. Rejects when it fails. */
  const run = async (name: string, ...args: string[]): Promise<string> => {
    const { stdout } = await promisify(execFile)(process.execPath, [at(`${name}.js`), ...args], { timeout: 60_000 })
    return stdout
  }

  it('send-file and receive-file copy a file', async () => {
    const image = noise(1, 3 * MIB + 5)
    image.fill(0, MIB, 2 * MIB)
    writeFileSync(at('disk.raw'), image)
    const [received, sent] = await Promise.all([
      run('receive-file', at('target.raw'), LOOPBACK, group(0)),
      run('send-file', at('disk.raw'), LOOPBACK, group(0)),
    ])
    expect(readFileSync(at('target.raw')).equals(image)).toBe(true)
    expect(received).toMatch(/^received disk\.raw: 3145733 bytes, digest [0-9a-f]{64}\n$/)
    expect(Number(/^sent 3145733 bytes as (\d+) on the wire\n$/.exec(sent)?.[1])).toBeGreaterThan(2 * MIB)
  })

  it('send-file tells what to do when its source is not there', async () => {
    const failure: unknown = await run('send-file', at('missing.raw'), LOOPBACK, group(1)).catch(
      (error: unknown) => error,
    )
    expect(failure).toMatchObject({ code: 5, stderr: expect.stringContaining('Check the path.') as string })
  })

  it('custom-source sends an image put together from two files', async () => {
    const [boot, root] = [noise(2, 3000), noise(3, MIB)]
    writeFileSync(at('boot.img'), boot)
    writeFileSync(at('root.img'), root)
    const [, sent] = await Promise.all([
      run('receive-file', at('composed.raw'), LOOPBACK, group(2)),
      run('custom-source', at('boot.img'), at('root.img'), LOOPBACK, group(2)),
    ])
    const expected = Buffer.alloc(64 * MIB)
    boot.copy(expected)
    root.copy(expected, MIB)
    expect(readFileSync(at('composed.raw')).equals(expected)).toBe(true)
    expect(sent).toMatch(/^sent \d+ bytes of data, skipped \d+ bytes of holes\n$/)
  })

  it('machines-by-hand carry a slice in spite of loss', async () => {
    const lines = (await run('machines-by-hand')).split('\n')
    expect(lines[0]).toMatch(/^the slice has arrived after [\d.]+ ms of virtual time$/)
    expect(Number(/(\d+) symbols rebuilt from parity$/.exec(lines[1]!)?.[1])).toBeGreaterThan(0)
  })
})

function noise(seed: number, bytes: number): Buffer {
  const random = seededRandom(seed)
  return Buffer.from(Uint8Array.from({ length: bytes }, () => random() * 256))
}
