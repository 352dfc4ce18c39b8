import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { FaultyDisk } from '../lab/faulty-disk.ts'

it('a disk that fails on demand comes back from a power cut though another mount namespace held its file system', async () => {
  const disk = await FaultyDisk.up(64 * 1024 * 1024)
  disk.format()
  const file = join(disk.mount(), 'file')
  writeFileSync(file, 'not flushed')
  // What `ip netns exec` does with the mounts of a process, which outlives the power cut here.
  const other = spawn('unshare', ['--mount', '--propagation', 'slave', 'sh', '-c', `cat ${file}; exec sleep 1000`])
  try {
    const [seen] = (await once(other.stdout, 'data')) as [Buffer]
    expect(seen.toString()).toBe('not flushed')
    await disk.cutPower()
    disk.mount()
    expect(other.exitCode).toBeNull()
  } finally {
    other.kill('SIGKILL')
    await disk.down()
  }
})
