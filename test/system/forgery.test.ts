import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { DEFAULT_GROUP, DEFAULT_PORT } from '../../src/protocol/index.ts'
import { createKeyText } from '../../src/trust/index.ts'
import { firstDifference, writeRandomImage } from '../lab/images.ts'
import { Lab } from '../lab/lab.ts'
import { startReceiver, startSender } from '../lab/skilfish-process.ts'

const MIB = 1024 * 1024
const FORGER = fileURLToPath(new URL('../lab/forger.mjs', import.meta.url))

const folder = mkdtempSync('/dev/shm/skilfish-forgery-')
const at = (name: string): string => join(folder, name)
let lab: Lab

beforeAll(() => {
  lab = Lab.up({ receiverCount: 3 })
  writeFileSync(at('group.key'), createKeyText(), { mode: 0o600 })
})
afterAll(() => {
  lab.down()
  rmSync(folder, { recursive: true, force: true })
})

it('a keyed session goes on while a stranger forges packets from the address of its sender, one for every ten', async () => {
  await writeRandomImage(at('image'), 32 * MIB, 1)
  const stranger = lab.spawn(3, process.execPath, [FORGER, DEFAULT_GROUP, String(DEFAULT_PORT), lab.hosts[3]!.ipv4], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let said = ''
  stranger.stdout?.on('data', (bytes: Buffer) => (said += bytes.toString()))
  await once(stranger.stdout!, 'data')
  const key = ['--key-file', at('group.key')]
  const receivers = [1, 2].map((host) => startReceiver(lab, host, [...key, at(`copy-${host}`)]))
  const sender = startSender(lab, [...key, '--min-receivers', '2', '--max-bitrate', '200M', at('image')])
  const [sent, ...received] = await Promise.all([sender.ended, ...receivers.map(({ ended }) => ended)])
  stranger.kill('SIGTERM')
  await once(stranger, 'close')
  const { forged } = JSON.parse(said.split('\n')[1] ?? '{}') as { forged: number }
  expect([sent.status, ...received.map(({ status }) => status)], sent.stderr).toEqual([0, 0, 0])
  for (const [index, { result }] of received.entries()) {
    expect(await firstDifference(at('image'), at(`copy-${index + 1}`))).toBeUndefined()
    expect(forged).toBeGreaterThan(1000)
    const { forgedPackets, foreignPackets, malformedPackets, rejectedSlices } = result!.stats
    expect(forgedPackets + foreignPackets + malformedPackets).toBeGreaterThan(forged / 2)
    expect(rejectedSlices).toBe(0)
  }
})
