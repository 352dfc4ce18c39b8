import { statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { makeFolder } from '../../../src/io/index.ts'
import { useTemporaryFolder } from './temporary-folder.ts'

describe('a folder', () => {
  const at = useTemporaryFolder()

  it('is made together with those above it, for this user alone, and left when it is there', async () => {
    const path = at('a', 'b', 'c')
    await makeFolder(path)
    await makeFolder(path, 0o755)
    const modes = [path, at('a', 'b'), at('a')].map((one) => statSync(one).mode & 0o777)
    expect(modes).toEqual([0o700, 0o700, 0o700])
  })

  it('is not made where a file is, or where the system has no room for one', async () => {
    const path = at('file')
    writeFileSync(path, '')
    await expect(makeFolder(path)).rejects.toThrow('EEXIST')
    await expect(makeFolder(join(path, 'below'))).rejects.toThrow('ENOTDIR')
    await expect(makeFolder('/proc/skilfish/vms')).rejects.toThrow('ENOENT')
  })
})
