import { randomBytes } from 'node:crypto'
import { existsSync, readdirSync, writeFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import { start, useFolder, type Program } from './programs.ts'

const at = useFolder()

/** A cluster on this machine, over a template of 4 MiB of noise. What needs no QEMU works everywhere. */
function skilfish(command: string, ...changes: readonly string[]): Program {
  if (!existsSync(at('template.raw'))) writeFileSync(at('template.raw'), randomBytes(4 * 1024 * 1024))
  const description = {
    cluster: 'test',
    storage: { template: `file:${at('template.raw')}` },
    transfer: { interface: 'lo', group: `239.192.85.${1 + (process.pid % 250)}:21500`, maxBitrate: '1M' },
    hosts: [{ name: 'local', interface: 'lo', folder: at('host') }],
    vms: [{ name: 'vm1' }],
  }
  // JSON is YAML too.
  writeFileSync(at('cluster.yaml'), JSON.stringify(description))
  return start('skilfish', [command, ...changes.flatMap((change) => ['--set', change]), at('cluster.yaml')])
}

it('Ctrl-C ends a fetch with its own status, and gives the cluster back', async () => {
  const program = skilfish('fetch')
  await program.says('fetch, ')
  program.process.kill('SIGINT')
  const { status, stderr } = await program.ended
  expect(status).toBe(130)
  expect(stderr).toContain('skilfish: fetch was interrupted\n')
  expect(readdirSync(at('template.raw.skilfish/test'))).toEqual([])
})

it('Ctrl-C ends a command that waits for its description', async () => {
  const program = start('skilfish', ['status', '-'])
  await program.catchesSignals()
  program.process.kill('SIGINT')
  expect(await program.ended).toMatchObject({ status: 130 })
})
