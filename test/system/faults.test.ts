import { once } from 'node:events'
import { execFileSync } from 'node:child_process'
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, truncateSync, writeFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import type { ReceiveResult, SendResult } from '../../src/index.ts'
import { runCommand } from '../lab/command.ts'
import { FaultyDisk } from '../lab/faulty-disk.ts'
import { firstDifference, writeRandomImage } from '../lab/images.ts'
import { Lab } from '../lab/lab.ts'
import { MemoryGroup } from '../lab/memory-group.ts'
import { startReceiver, startSender, type Ended, type Running } from '../lab/skilfish-process.ts'

const MIB = 1024 * 1024
const HOSTS = [1, 2, 3]
const INCOMPLETE = 'SKILFISH INCOMPLETE IMAGE'

const percentAbove =
  (percent: number) =>
  (line: Readonly<Record<string, unknown>>): boolean =>
    line['type'] === 'progress' && Number(line['percent'] ?? 0) > percent
const statuses = (ended: readonly Ended<unknown>[]): (number | null)[] => ended.map(({ status }) => status)
const firstBytes = (path: string): string => execFileSync('head', ['-c', '25', path], { encoding: 'utf8' })

describe('a fault in the midst of a transfer', () => {
  const folder = mkdtempSync('/dev/shm/skilfish-faults-')
  const image = join(folder, 'image')
  const target = (host: number): string => join(folder, `target${host}`)
  let lab: Lab
  let disk: FaultyDisk | undefined

  beforeAll(() => {
    lab = Lab.up({ receiverCount: HOSTS.length })
  })
  afterEach(async () => {
    await disk?.down()
    disk = undefined
    for (const host of HOSTS) rmSync(target(host), { force: true })
  })
  afterAll(() => {
    lab.down()
    rmSync(folder, { recursive: true, force: true })
  })

  const expectCopy = async (host: number, of = image): Promise<void> => {
    expect(await firstDifference(of, target(host)), `copy of host ${host}`).toBeUndefined()
  }

  it.each(['unplug', 'fail'] as const)(
    'target unplugged (%s): fails by name, and the others are unharmed',
    async (how) => {
      await writeRandomImage(image, 48 * MIB, 1)
      disk = await FaultyDisk.up(64 * MIB)
      const bad = startReceiver(lab, 1, ['--name', 'bad', '--journal', join(folder, 'journal'), disk.device])
      const good = startReceiver(lab, 2, [target(2)])
      const sender = startSender(lab, ['--min-receivers', '2', '--max-bitrate', '120M', image])
      await bad.until(percentAbove(30))
      await disk[how]()
      const [badEnded, goodEnded, sent] = await Promise.all([bad.ended, good.ended, sender.ended])
      expect([badEnded.status, badEnded.errorCode], badEnded.stderr).toEqual([5, 'TARGET_FAILED'])
      expect([goodEnded.status, sent.status, sent.errorCode]).toEqual([0, 4, 'RECEIVERS_FAILED'])
      expect(sent.result?.receivers.filter(({ state }) => state !== 'done').map(({ name }) => name)).toEqual(['bad'])
      await expectCopy(2)
    },
  )

  it('read error at the source: the sender says so, and no receiver takes its copy for whole', async () => {
    disk = await FaultyDisk.up(96 * MIB)
    await writeRandomImage(disk.device, 96 * MIB, 2)
    runCommand('sync', [disk.device])
    // Afterwards no cache knows what the disk holds.
    await disk.cutPower()
    const receivers = HOSTS.map((host) => startReceiver(lab, host, [target(host)]))
    const sender = startSender(lab, ['--min-receivers', '3', '--max-bitrate', '100M', disk.device])
    await receivers[0]!.until(percentAbove(20))
    disk.fail()
    const sent = await sender.ended
    const received = await Promise.all(receivers.map(({ ended }) => ended))
    expect([sent.status, sent.errorCode], sent.stderr).toEqual([5, 'SOURCE_FAILED'])
    expect(received.map(({ status, errorCode }) => [status, errorCode])).toEqual(HOSTS.map(() => [7, 'SENDER_ABORTED']))
    for (const host of HOSTS) expect(firstBytes(target(host))).toBe(INCOMPLETE)
  })

  describe('source changed during the transfer: detected, aborted', () => {
    const change = (offset: number): void => {
      const file = openSync(image, 'r+')
      writeSync(file, new Uint8Array(4096).fill(1), 0, 4096, offset)
      closeSync(file)
    }

    it.each([
      ['shorter', (): void => truncateSync(image, 80 * MIB)],
      ['longer', (): void => truncateSync(image, 97 * MIB)],
      ['written', (): void => change(4096)],
    ])('%s', async (_, alter) => {
      await writeRandomImage(image, 96 * MIB, 3)
      const receiver = startReceiver(lab, 1, [target(1)])
      const sender = startSender(lab, ['--max-bitrate', '200M', image])
      await receiver.until(percentAbove(5))
      alter()
      const [sent, received] = await Promise.all([sender.ended, receiver.ended])
      expect([sent.status, sent.errorCode], sent.stderr).toEqual([5, 'SOURCE_CHANGED'])
      expect([received.status, received.errorCode]).toEqual([7, 'SENDER_ABORTED'])
      expect(firstBytes(target(1))).toBe(INCOMPLETE)
    })

    it('written, with its time set back, when it is read again for a late receiver', async () => {
      await writeRandomImage(image, 96 * MIB, 4)
      const early = startReceiver(lab, 1, [target(1)])
      const sender = startSender(lab, ['--max-bitrate', '200M', image])
      // By now the first slices have left the sender's memory. A receiver that stands still keeps the session from ending.
      await early.until(percentAbove(80))
      early.child.kill('SIGSTOP')
      runCommand('touch', ['--reference', image, join(folder, 'time')])
      change(4096)
      runCommand('touch', ['--reference', join(folder, 'time'), image])
      const late = startReceiver(lab, 2, [target(2)])
      const [sent, lateEnded] = await Promise.all([sender.ended, late.ended])
      early.child.kill('SIGKILL')
      expect([sent.status, sent.errorCode], sent.stderr).toEqual([5, 'SOURCE_CHANGED'])
      expect([lateEnded.status, lateEnded.errorCode]).toEqual([7, 'SENDER_ABORTED'])
      expect(firstBytes(target(2))).toBe(INCOMPLETE)
      await early.ended
    })
  })

  it('interface down and up again, at the sender, then at a receiver: all complete', async () => {
    await writeRandomImage(image, 64 * MIB, 5)
    const receivers = HOSTS.map((host) => startReceiver(lab, host, [target(host)]))
    const sender = startSender(lab, ['--min-receivers', '3', '--max-bitrate', '120M', image])
    for (const [host, percent] of [
      [0, 20],
      [1, 50],
    ] as const) {
      await receivers[1]!.until(percentAbove(percent))
      lab.run(host, 'ip', ['link', 'set', 'eth0', 'down'])
      await delay(1500)
      lab.run(host, 'ip', ['link', 'set', 'eth0', 'up'])
    }
    const ended = await Promise.all([sender.ended, ...receivers.map((receiver) => receiver.ended)])
    expect(statuses(ended), ended.map(({ stderr }) => stderr).join('')).toEqual([0, 0, 0, 0])
    for (const host of HOSTS) await expectCopy(host)
  })

  it('sender and receiver clocks jumped, days ahead and hours back: nobody notices', async () => {
    await writeRandomImage(image, 48 * MIB, 6)
    const library = runCommand('sh', ['-c', 'ls /usr/lib/*/faketime/libfaketime.so.1']).trim()
    const clock = join(folder, 'clock')
    const jump = (offset: string): void => writeFileSync(clock, `${offset}\n`)
    const witness = (name: string): string => join(folder, `witness-${name}`)
    const under = (name: string): Record<string, string> => ({
      ...{ LD_PRELOAD: library, FAKETIME_TIMESTAMP_FILE: clock, FAKETIME_NO_CACHE: '1' },
      // As on a real machine, where setting the time of day leaves the monotonic clock alone.
      ...{ FAKETIME_DONT_FAKE_MONOTONIC: '1', WALL_CLOCK_WITNESS: witness(name) },
      NODE_OPTIONS: `--import=${join(import.meta.dirname, '../lab/wall-clock-witness.mjs')}`,
    })
    jump('+0')
    const receiver = startReceiver(lab, 1, ['--receive-timeout', '5', target(1)], under('receiver'))
    const sender = startSender(lab, ['--max-bitrate', '120M', '--receiver-timeout', '5', image], under('sender'))
    await receiver.until(percentAbove(25))
    jump('+3d')
    await receiver.until(percentAbove(60))
    jump('-5h')
    const ended = await Promise.all([sender.ended, receiver.ended])
    expect(statuses(ended)).toEqual([0, 0])
    await expectCopy(1)
    for (const name of ['sender', 'receiver']) {
      const times = readFileSync(witness(name), 'utf8').trim().split('\n').map(Number)
      const steps = times.slice(1).map((time, index) => time - times[index]!)
      expect([Math.max(...steps) > 2 * 86_400_000, Math.min(...steps) < -86_400_000], name).toEqual([true, true])
    }
  })

  it('duplicate sender on the same group: two sessions side by side both finish', async () => {
    const other = join(folder, 'other')
    await writeRandomImage(image, 48 * MIB, 7)
    await writeRandomImage(other, 32 * MIB, 8)
    // A receiver that hears the other session alone gives up at once, unless it is told how long to wait.
    const receivers = ['one', 'two'].map((imageId, index) =>
      startReceiver(lab, index + 1, ['--image-id', imageId, '--start-timeout', '60', target(index + 1)]),
    )
    const senders = [
      startSender(lab, ['--max-bitrate', '120M', '--image-id', 'one', image]),
      startSender(lab, ['--max-bitrate', '120M', '--image-id', 'two', other]),
    ]
    const ended = await Promise.all([...senders, ...receivers].map((running: Running<unknown>) => running.ended))
    expect(statuses(ended)).toEqual([0, 0, 0, 0])
    await expectCopy(1)
    await expectCopy(2, other)
    rmSync(other)
  })

  it('corrupted packets with right UDP checksums: asked for again, and no wrong byte is written', async () => {
    await writeRandomImage(image, 48 * MIB, 9)
    const groups = ['239.192.84.1', '239.192.84.2'] as const
    const relay = lab.spawn(
      3,
      process.execPath,
      [join(import.meta.dirname, '../lab/corrupting-relay.mjs'), lab.hosts[3]!.ipv4, ...groups, '9757', '2000'],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    )
    await once(relay.stdout!, 'data')
    const receivers = [1, 2].map((host) => startReceiver(lab, host, ['--group', groups[1], target(host)]))
    const sender = startSender(lab, ['--group', groups[0], '--min-receivers', '2', '--max-bitrate', '80M', image])
    const received = await Promise.all(receivers.map(({ ended }) => ended))
    const sent = await sender.ended
    relay.kill('SIGTERM')
    const [count] = (await once(relay.stdout!, 'data')) as [Buffer]
    expect(statuses([sent, ...received]), received.map(({ stderr }) => stderr).join('')).toEqual([0, 0, 0])
    expect(Number(count.toString())).toBeGreaterThan(10)
    for (const { result } of received) expect(result?.stats.rejectedSlices).toBeGreaterThan(0)
    await expectCopy(1)
    await expectCopy(2)
  })
})

describe('a transfer', () => {
  const folder = mkdtempSync('/var/tmp/skilfish-faults-')
  const image = join(folder, 'image')
  let lab: Lab

  beforeAll(() => {
    lab = Lab.up({ receiverCount: 4 })
  })
  afterAll(() => {
    lab.down()
    rmSync(folder, { recursive: true, force: true })
  })

  it('memory limit (cgroup 256 MiB) for sender and receiver: an image larger than that is complete', async () => {
    await writeRandomImage(image, 400 * MIB, 10)
    const target = join(folder, 'target')
    const groups = ['sender', 'receiver'].map((name) => new MemoryGroup(`skilfish-${name}`, 256 * MIB))
    try {
      const receiver = startReceiver(lab, 1, [target])
      groups[1]!.add(receiver.child.pid!)
      const sender = startSender(lab, [image])
      groups[0]!.add(sender.child.pid!)
      await receiver.until(percentAbove(20))
      expect(groups.map(({ processIds }) => processIds)).toEqual([[sender.child.pid], [receiver.child.pid]])
      const ended = await Promise.all([sender.ended, receiver.ended])
      expect(statuses(ended), ended.map(({ stderr }) => stderr).join('')).toEqual([0, 0])
      expect(groups.map(({ killCount }) => killCount)).toEqual([0, 0])
      expect(await firstDifference(image, target)).toBeUndefined()
    } finally {
      for (const group of groups) await group.remove()
      rmSync(target, { force: true })
    }
  })

  // A hundred programs on few processors.
  it('100 receivers started at once all complete', { timeout: 300_000 }, async () => {
    await writeRandomImage(image, 4 * MIB, 11)
    const target = (index: number): string => join(folder, `target${index}`)
    const indexes = Array.from({ length: 100 }, (_, index) => index)
    const sender = startSender(lab, ['--min-receivers', '100', '--max-wait', '90', image])
    const receivers = indexes.map((index) =>
      startReceiver(lab, 1 + (index % 4), ['--name', `r${index}`, target(index)]),
    )
    const received = await Promise.all(receivers.map(({ ended }) => ended))
    const sent = await sender.ended
    expect(received.filter(({ status }) => status !== 0).map(({ errorCode, stderr }) => errorCode ?? stderr)).toEqual(
      [],
    )
    expect([sent.status, sent.result?.receivers.length]).toEqual([0, 100])
    const bytes = readFileSync(image)
    for (const index of indexes) expect(bytes.equals(readFileSync(target(index))), `copy ${index}`).toBe(true)
  })
})

describe.concurrent('with the default timeouts', () => {
  const folder = mkdtempSync('/dev/shm/skilfish-silence-')
  const image = join(folder, 'image')
  const target = (host: number): string => join(folder, `target${host}`)
  let lab: Lab

  beforeAll(async () => {
    lab = Lab.up({ receiverCount: 3 })
    await writeRandomImage(image, 48 * MIB, 12)
  })
  afterAll(() => {
    lab.down()
    rmSync(folder, { recursive: true, force: true })
  })

  /** A transfer in a group of its own to one host, and then something happens. */
  async function transfer(
    host: number,
    group: string,
    strike: (receiver: Running<ReceiveResult>) => Promise<void>,
  ): Promise<[Ended<SendResult>, Ended<ReceiveResult>]> {
    const receiver = startReceiver(lab, host, ['--group', group, target(host)])
    const sender = startSender(lab, ['--group', group, '--max-bitrate', '60M', image])
    await receiver.until(percentAbove(30))
    await strike(receiver)
    return Promise.all([sender.ended, receiver.ended])
  }

  it('30 s of total silence: the transfer goes on where it was', async ({ expect }) => {
    const ended = await transfer(1, '239.192.84.11', async () => {
      lab.linkDown(1)
      await delay(30_000)
      lab.linkUp(1)
    })
    expect(statuses(ended)).toEqual([0, 0])
    expect(await firstDifference(image, target(1))).toBeUndefined()
  })

  it('a receiver stopped with SIGSTOP for 20 s and continued gets the whole image', async ({ expect }) => {
    const ended = await transfer(2, '239.192.84.12', async ({ child }) => {
      child.kill('SIGSTOP')
      await delay(20_000)
      child.kill('SIGCONT')
    })
    expect(statuses(ended)).toEqual([0, 0])
    expect(await firstDifference(image, target(2))).toBeUndefined()
  })

  it('a sender stopped with SIGSTOP for 20 s and continued sends the whole image', async ({ expect }) => {
    const group = '239.192.84.13'
    const receiver = startReceiver(lab, 3, ['--group', group, target(3)])
    const sender = startSender(lab, ['--group', group, '--max-bitrate', '60M', image])
    await receiver.until(percentAbove(30))
    sender.child.kill('SIGSTOP')
    await delay(20_000)
    sender.child.kill('SIGCONT')
    expect(statuses(await Promise.all([sender.ended, receiver.ended]))).toEqual([0, 0])
    expect(await firstDifference(image, target(3))).toBeUndefined()
  })
})
