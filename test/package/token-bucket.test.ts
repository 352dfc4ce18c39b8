// Why the token bucket is our own: docs/decisions/0002-own-token-bucket.md. The package is unpacked here and not installed, since
// installing it would bring the dependencies that the decision is about.
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'

type Bucket = new (capacity: number) => { throttle(call: () => void): void }

describe('token-bucket 0.0.1', () => {
  const folder = mkdtempSync(join(tmpdir(), 'skilfish-token-bucket-'))
  let Bucket: Bucket

  beforeAll(() => {
    execFileSync('npm', ['pack', '--silent', 'token-bucket@0.0.1'], {
      cwd: folder,
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    execFileSync('tar', ['-xzf', 'token-bucket-0.0.1.tgz'], { cwd: folder })
    mkdirSync(join(folder, 'node_modules'))
    writeFileSync(join(folder, 'node_modules/debug.js'), 'module.exports = () => () => undefined')
    Bucket = createRequire(join(folder, 'from.js'))('./package') as Bucket
  })
  afterAll(() => rmSync(folder, { recursive: true, force: true }))
  beforeEach(() => void vi.useFakeTimers())
  afterEach(() => void vi.useRealTimers())

  it.each([1, 5, 1000])('grants one call a second once its capacity of %i is used up', (capacity) => {
    const bucket = new Bucket(capacity)
    let granted = 0
    const callForever = (): void =>
      bucket.throttle(() => {
        granted++
        if (granted < 10_000) callForever()
      })
    callForever()
    expect(granted).toBe(capacity)
    vi.advanceTimersByTime(10_000)
    expect(granted).toBe(capacity + 10)
  })

  it('needs a test runner at run time', () => {
    const { dependencies } = JSON.parse(readFileSync(join(folder, 'package/package.json'), 'utf8')) as {
      dependencies: object
    }
    expect(dependencies).toEqual({ debug: '~0.7.2', should: '~2.0.2', mocha: '~1.13.0' })
  })
})
