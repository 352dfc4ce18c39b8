import { mkdtempSync, readdirSync, readlinkSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { measureDisk } from '../../../src/io/index.ts'
import { expectFailure } from './expect-failure.ts'

/** What this process has open. */
const openFiles = (): string[] =>
  readdirSync('/proc/self/fd').flatMap((fd) => {
    try {
      return [readlinkSync(`/proc/self/fd/${fd}`)]
    } catch {
      return []
    }
  })

it.skipIf(process.platform !== 'linux')('writes to a file without a name, of which nothing can be left', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'skilfish-speed-'))
  try {
    let isNameless = false
    const over = new AbortController()
    const speed = measureDisk(folder).finally(() => over.abort())
    while (!isNameless && !over.signal.aborted) {
      isNameless = openFiles().some((path) => path.startsWith(folder) && path.endsWith(' (deleted)'))
      await new Promise((resolve) => setImmediate(resolve))
    }
    expect(isNameless).toBe(true)
    expect(await speed).toBeGreaterThan(0)
    expect(readdirSync(folder)).toEqual([])
  } finally {
    rmSync(folder, { recursive: true })
  }
})

it('names the folder that cannot be written to, not the file that was to be in it', async () => {
  for (const folder of ['/nowhere', import.meta.filename]) {
    const wanted = `cannot measure the disk of ${folder}: there is no such folder; name one that exists`
    await expectFailure(measureDisk(folder), 'TARGET_NOT_FOUND', wanted)
  }
})
