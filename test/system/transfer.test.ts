import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { firstDifference, writeIslandImage, writeRandomImage } from '../lab/images.ts'
import { Lab } from '../lab/lab.ts'
import { startReceiver, startSender, type Ended } from '../lab/skilfish-process.ts'
import type { ReceiveResult, SendResult } from '../../src/index.ts'

const MIB = 1024 * 1024
const HOSTS = [1, 2, 3, 4]

describe('four receivers in the lab', () => {
  const folder = mkdtempSync('/dev/shm/skilfish-transfer-')
  const image = join(folder, 'image')
  const target = (host: number): string => join(folder, `target${host}`)
  let lab: Lab

  beforeAll(() => {
    lab = Lab.up({ receiverCount: HOSTS.length })
  })
  afterAll(() => {
    lab.down()
    rmSync(folder, { recursive: true, force: true })
  })
  afterEach(() => {
    lab.loss(0)
    for (const host of HOSTS) rmSync(target(host), { force: true })
  })

  async function transfer(
    sendArgs: readonly string[] = [],
    receiveArgs: readonly string[] = [],
  ): Promise<{ sent: Ended<SendResult>; received: Ended<ReceiveResult>[] }> {
    const receivers = HOSTS.map((host) => startReceiver(lab, host, [...receiveArgs, target(host)]))
    const sender = startSender(lab, ['--min-receivers', String(HOSTS.length), ...sendArgs, image])
    return { sent: await sender.ended, received: await Promise.all(receivers.map((receiver) => receiver.ended)) }
  }

  async function expectCopies(hosts: readonly number[] = HOSTS): Promise<void> {
    for (const host of hosts) expect(await firstDifference(image, target(host)), `copy of host ${host}`).toBeUndefined()
  }

  it.each([0, 1, 5])('64 MiB of random data at %d percent loss', async (percent) => {
    await writeRandomImage(image, 64 * MIB, 1 + percent)
    lab.loss(percent)
    const { sent, received } = await transfer()
    expect([sent.status, ...received.map(({ status }) => status)], sent.stderr).toEqual([0, 0, 0, 0, 0])
    await expectCopies()
  })

  it('sends at most 1.05 times the bytes at 1 % loss', async () => {
    await writeRandomImage(image, 64 * MIB, 10)
    const bytes: number[] = []
    for (const percent of [0, 1]) {
      lab.loss(percent)
      const { sent } = await transfer(['--max-bitrate', '320M'])
      bytes.push(sent.result?.stats.wireBytes ?? NaN)
      await expectCopies()
    }
    expect(bytes[1]! / bytes[0]!).toBeLessThanOrEqual(1.05)
  })

  it.each([0, 1, 511, 4097, 3_000_001])('an image of %d bytes', async (sizeBytes) => {
    await writeRandomImage(image, sizeBytes, sizeBytes)
    const { sent, received } = await transfer()
    expect([sent.status, ...received.map(({ status }) => status)], sent.stderr).toEqual([0, 0, 0, 0, 0])
    await expectCopies()
  })

  it('a sparse image of 2 GiB, and one of holes only', async () => {
    rmSync(image, { force: true })
    await writeIslandImage(image, { sizeBytes: 2048 * MIB, islandCount: 40, islandBytes: MIB, seed: 3 })
    const sparse = await transfer()
    expect(sparse.sent.result?.dataBytes).toBeLessThan(64 * MIB)
    await expectCopies()
    for (const host of HOSTS) rmSync(target(host))
    writeFileSync(image, '')
    truncateSync(image, 2048 * MIB)
    const empty = await transfer()
    expect(empty.sent.result?.dataBytes).toBe(0)
    await expectCopies()
  })

  it('a receiver that comes at half time gets the whole image', async () => {
    await writeRandomImage(image, 64 * MIB, 20)
    const early = [1, 2, 3].map((host) => startReceiver(lab, host, [target(host)]))
    const sender = startSender(lab, ['--min-receivers', '3', '--max-bitrate', '200M', image])
    await sender.until((line) => line['type'] === 'progress' && Number(line['percent']) >= 50)
    const late = startReceiver(lab, 4, [target(4)])
    const ended = await Promise.all([sender.ended, late.ended, ...early.map((receiver) => receiver.ended)])
    expect(ended.map(({ status }) => status)).toEqual([0, 0, 0, 0, 0])
    await expectCopies()
  })

  it('kill -9 of a receiver: the others are unharmed, and it is named', async () => {
    await writeRandomImage(image, 64 * MIB, 21)
    const receivers = HOSTS.map((host) => startReceiver(lab, host, ['--name', `host${host}`, target(host)]))
    const sender = startSender(lab, [
      ...['--min-receivers', '4', '--max-bitrate', '200M', '--receiver-timeout', '3', image],
    ])
    await sender.until((line) => line['type'] === 'progress' && Number(line['percent']) >= 30)
    receivers[1]!.child.kill('SIGKILL')
    const sent = await sender.ended
    const received = await Promise.all(receivers.map((receiver) => receiver.ended))
    expect(received.map(({ status }) => status)).toEqual([0, null, 0, 0])
    expect([sent.status, sent.errorCode]).toEqual([4, 'RECEIVERS_FAILED'])
    expect(sent.result?.receivers.filter(({ state }) => state !== 'done').map(({ name }) => name)).toEqual(['host2'])
    await expectCopies([1, 3, 4])
    expect(execFileSync('head', ['-c', '25', target(2)], { encoding: 'utf8' })).toBe('SKILFISH INCOMPLETE IMAGE')
  })

  it('kill -9 of the sender: every receiver fails within its timeout and leaves a marked target', async () => {
    await writeRandomImage(image, 64 * MIB, 22)
    const receivers = HOSTS.map((host) => startReceiver(lab, host, ['--receive-timeout', '2', target(host)]))
    const sender = startSender(lab, ['--min-receivers', '4', '--max-bitrate', '200M', image])
    await sender.until((line) => line['type'] === 'progress' && Number(line['percent']) >= 30)
    sender.child.kill('SIGKILL')
    const killedMs = performance.now()
    const received = await Promise.all(receivers.map((receiver) => receiver.ended))
    expect(performance.now() - killedMs).toBeLessThan(10_000)
    expect(received.map(({ status, errorCode }) => [status, errorCode])).toEqual(HOSTS.map(() => [7, 'SENDER_LOST']))
    for (const host of HOSTS) {
      expect(execFileSync('head', ['-c', '25', target(host)], { encoding: 'utf8' })).toBe('SKILFISH INCOMPLETE IMAGE')
    }
  })

  it('over IPv6', async () => {
    await writeRandomImage(image, 8 * MIB, 23)
    const group = ['--group', '[ff15::5357]:9753']
    const { sent, received } = await transfer(group, group)
    expect([sent.status, ...received.map(({ status }) => status)], sent.stderr).toEqual([0, 0, 0, 0, 0])
    await expectCopies()
  })
})
