import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { ProbeResult } from '../../src/probe/index.ts'
import { Lab } from '../lab/lab.ts'
import { startProbe, type Ended } from '../lab/skilfish-process.ts'

type Probed = ProbeResult & { readonly advice: readonly string[] }

describe('skilfish-probe between two hosts', () => {
  const folder = mkdtempSync('/var/tmp/skilfish-probe-')
  let lab: Lab

  beforeAll(() => {
    lab = Lab.up({ receiverCount: 3 })
  })
  beforeEach(() => lab.loss(0))
  afterAll(() => {
    lab.down()
    rmSync(folder, { recursive: true, force: true })
  })

  /** Probes one receiver at a low rate for a second. */
  async function probe(listen: readonly string[] = []): Promise<Ended<Probed>[]> {
    const listener = startProbe<Probed>(lab, 1, ['--listen', '--start-timeout', '40', ...listen])
    await listener.until(({ type }) => type === 'log')
    const prober = startProbe<Probed>(lab, 0, ['--bitrate', '20M', '--time', '1', '--start-timeout', '4'])
    return Promise.all([prober.ended, listener.ended])
  }

  it('finds nothing to change where all is well, and leaves nothing behind', async () => {
    const [probed, listened] = await probe(['--disk', folder])
    expect([probed!.status, listened!.status], probed!.stderr).toEqual([0, 0])
    const [path] = probed!.result!.listeners
    expect(path).toMatchObject({ address: '10.77.0.2', mtuBytes: 1500, recvBufferBytes: 8_388_608 })
    expect(path!.diskBytesPerSec).toBeGreaterThan(0)
    expect(readdirSync(folder)).toEqual([])
    expect(path!.receivedCount).toBeGreaterThan(0.99 * probed!.result!.sentCount)
  })

  it('finds loss, and says that it is on the way', async () => {
    lab.loss(5)
    const [probed] = await probe()
    const { advice, sentCount, listeners } = probed!.result!
    expect(1 - listeners[0]!.receivedCount / sentCount).toBeGreaterThan(0.02)
    expect(advice.join('\n')).toMatch(/lost \d.* %.*, on the way/)
  })

  it('finds a small MTU on the way, and names the option', async () => {
    const length = ['table', 'netdev', 'mtu']
    lab.run(1, 'nft', ['add', ...length])
    lab.run(1, 'nft', ['add chain netdev mtu way { type filter hook ingress device eth0 priority 0; }'])
    lab.run(1, 'nft', ['add rule netdev mtu way meta l4proto udp ip length > 1400 drop'])
    const [probed] = await probe()
    lab.run(1, 'nft', ['delete', ...length])
    expect(probed!.result!.listeners[0]!.mtuBytes).toBe(1400)
    expect(probed!.result!.advice.join('\n')).toContain('send with --mtu 1400')
  })

  it('tells several listeners apart', async () => {
    const listeners = [1, 2, 3].map((host) =>
      startProbe<Probed>(lab, host, ['--listen', '--start-timeout', '40', ...(host === 2 ? ['--disk', folder] : [])]),
    )
    await Promise.all(listeners.map((listener) => listener.until(({ type }) => type === 'log')))
    // Losses of one path are not the others'.
    lab.loss(20, 3)
    const probed = await startProbe<Probed>(lab, 0, ['--bitrate', '20M', '--time', '1', '--start-timeout', '4']).ended
    const listened = await Promise.all(listeners.map(({ ended }) => ended))
    expect([probed, ...listened].map(({ status }) => status)).toEqual([0, 0, 0, 0])
    const { sentCount, listeners: paths } = probed.result!
    const lostShares = [...paths]
      .sort((one, other) => (one.address < other.address ? -1 : 1))
      .map(({ address, receivedCount, diskBytesPerSec }) => [
        address,
        receivedCount < 0.9 * sentCount,
        diskBytesPerSec !== undefined,
      ])
    expect(lostShares).toEqual([
      ['10.77.0.2', false, false],
      ['10.77.0.3', false, true],
      ['10.77.0.4', true, false],
    ])
  })

  it('says at both ends that answers do not come back', async () => {
    lab.run(0, 'nft', ['add', 'table', 'netdev', 'wall'])
    lab.run(0, 'nft', ['add chain netdev wall way { type filter hook ingress device eth0 priority 0; }'])
    lab.run(0, 'nft', ['add rule netdev wall way meta l4proto udp drop'])
    const listener = startProbe<Probed>(lab, 1, ['--listen', '--start-timeout', '40'])
    await listener.until(({ type }) => type === 'log')
    const probed = await startProbe<Probed>(lab, 0, ['--start-timeout', '1']).ended
    const listened = await listener.ended
    lab.run(0, 'nft', ['delete', 'table', 'netdev', 'wall'])
    expect([probed.status, probed.errorCode]).toEqual([3, 'NO_RECEIVERS'])
    expect([listened.status, listened.errorCode]).toEqual([3, 'NO_SENDER'])
    await listener.until(({ message }) => String(message).includes('--feedback-port'))
  })

  it('ends in time at a rate that no host comes up to, and says so', async () => {
    const listener = startProbe<Probed>(lab, 1, ['--listen', '--start-timeout', '40'])
    await listener.until(({ type }) => type === 'log')
    const prober = startProbe<Probed>(lab, 0, ['--bitrate', '400G', '--time', '1', '--start-timeout', '4'])
    const [probed, listened] = await Promise.all([prober.ended, listener.ended])
    expect([probed.status, listened.status], probed.stderr).toEqual([0, 0])
    expect(probed.result!.advice.join('\n')).toMatch(/this host sent .* of 400/)
  })

  it('says that nobody answers where multicast is blocked', async () => {
    lab.loss(100)
    const prober = await startProbe<Probed>(lab, 0, ['--start-timeout', '1']).ended
    expect([prober.status, prober.errorCode]).toEqual([3, 'NO_RECEIVERS'])
    const listener = await startProbe<Probed>(lab, 1, ['--listen', '--start-timeout', '1']).ended
    expect([listener.status, listener.errorCode]).toEqual([3, 'NO_SENDER'])
  })
})
