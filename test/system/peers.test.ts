import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { writeRandomImage } from '../lab/images.ts'
import { Lab } from '../lab/lab.ts'
import { startMeasured, type MeasuredProcess } from '../lab/measured-process.ts'
import { measureTransfer, type Command } from '../lab/measured-transfer.ts'
import {
  missingForPeers,
  PEER_NAMES,
  peerVersions,
  runPeer,
  type PeerFigures,
  type PeerName,
  type PeerRun,
} from '../lab/peers.ts'

const MIB = 1024 ** 2

let lab: Lab
let folder = ''
beforeEach(() => {
  lab = Lab.up({ receiverCount: 2 })
  folder = mkdtempSync('/dev/shm/skilfish-peers-test-')
})
afterEach(() => {
  lab.down()
  rmSync(folder, { recursive: true, force: true })
})

const shell = (script: string): Command => ({ command: 'bash', args: ['-c', script] })

describe('a measured process', () => {
  const start = (command: string, ...args: readonly string[]): MeasuredProcess =>
    startMeasured((...call) => lab.spawn(1, ...call), command, args)

  test('costs what the command itself sees', async () => {
    const { userSeconds, systemSeconds, peakMemoryBytes, elapsedMs, output } = await start(
      process.execPath,
      '-e',
      `const kept = Buffer.alloc(200 * 1024 ** 2, 1)
      for (const end = Date.now() + 600; Date.now() < end; );
      console.log(JSON.stringify(process.resourceUsage()), kept.length)
      setTimeout(() => {}, 100)`,
    ).figures
    const own = JSON.parse(output.split('}')[0]! + '}') as {
      userCPUTime: number
      systemCPUTime: number
      maxRSS: number
    }
    const ownSeconds = (own.userCPUTime + own.systemCPUTime) / 1e6
    expect(userSeconds + systemSeconds).toBeGreaterThan(0.3)
    expect(Math.abs(userSeconds + systemSeconds - ownSeconds)).toBeLessThan(0.1)
    expect(Math.abs(peakMemoryBytes / (own.maxRSS * 1024) - 1)).toBeLessThan(0.1)
    expect(elapsedMs).toBeGreaterThan(700)
  })

  test('includes the processor time of its children', async () => {
    const burn = 'for (const end = process.cpuUsage().user + 3e5; process.cpuUsage().user < end; );'
    const { userSeconds } = await start('bash', '-c', `"${process.execPath}" -e '${burn}'; true`).figures
    expect(userSeconds).toBeGreaterThan(0.29)
  })

  test('tells how it ended', async () => {
    expect(await start('bash', '-c', 'echo out; echo err >&2; exit 7').figures).toMatchObject({ status: 7 })
    const { status, output } = await start('no-such-command').figures
    expect(status).toBe(127)
    expect(output).toContain('no-such-command: not found')
  })

  test('is ended by a signal, also right after its start', async () => {
    const process = start('sleep', '1000')
    process.kill('SIGTERM')
    expect((await process.figures).status).toBe(128 + 15)
    process.kill('SIGTERM')
  })
})

describe('a measured transfer', () => {
  test('that takes too long is killed, with its output', async () => {
    const receivers = [shell('echo waiting for Godot; sleep 1000')]
    const transfer = measureTransfer(lab, { sender: shell('true'), receivers, timeoutMs: 500 })
    await expect(transfer).rejects.toThrow(/^Host 1: bash .*: status 137, killed after 500 ms\nwaiting for Godot/)
  })

  test('in which one process fails ends at once, with its output', async () => {
    const receivers = [shell('sleep 1000'), shell('echo no disk >&2; exit 5')]
    const transfer = measureTransfer(lab, { sender: shell('sleep 1000'), receivers, timeoutMs: 60_000 })
    await expect(transfer).rejects.toThrow(/^Host 2: bash .*: status 5\nno disk/)
  })

  test('lasts until its last process has ended, but for those that it ends', async () => {
    const receivers = [shell('sleep 0.6'), shell('true')]
    const plan = { sender: shell('sleep 0.2'), receivers, timeoutMs: 60_000 }
    const whole = await measureTransfer(lab, plan)
    expect(whole.wholeRunMs).toBeGreaterThan(600)
    expect(whole.untilSenderEndMs).toBeLessThan(600)
    const ended = await measureTransfer(lab, { ...plan, receivers: [shell('sleep 1000')], endReceiversWith: 'SIGTERM' })
    expect(ended.wholeRunMs).toBe(ended.untilSenderEndMs)
  })
})

/**
 * Runs a peer, with three tries as in the benchmark: UDPcast may lose the packets by which its ends meet and wait for ever then, or
 * drop a receiver that it has just greeted.
 */
function runPatiently(name: PeerName, run: PeerRun): Promise<PeerFigures> {
  const attempt = (): Promise<PeerFigures> => runPeer(name, { ...run, timeoutMs: 15_000 })
  return attempt().catch(attempt).catch(attempt)
}

describe('peers', () => {
  test('are installed in versions that can be told', () => {
    expect(missingForPeers()).toEqual([])
    expect(Object.entries(peerVersions()).map(([name, version]) => [name, /^\d/.test(version)])).toEqual([
      ['lzop', true],
      ['udpcast', true],
      ['uftp', true],
    ])
  })

  test.each(PEER_NAMES)('%s makes identical copies, and what that cost is measured', async (name) => {
    const sourcePath = join(folder, 'source')
    await writeRandomImage(sourcePath, 16 * MIB, 1)
    const figures = await runPatiently(name, { lab, sourcePath, receiverCount: 2, folder })
    expect(readdirSync(folder)).toEqual(['source'])
    expect(figures.sentBytes).toBeGreaterThan(16 * MIB)
    expect(figures.sentBytes).toBeLessThan(32 * MIB)
    expect(figures.feedbackBytes).toBeGreaterThan(0)
    expect(figures.receivers).toHaveLength(2)
    for (const { userSeconds, systemSeconds, peakMemoryBytes } of [figures.sender, ...figures.receivers]) {
      expect(userSeconds + systemSeconds).toBeGreaterThan(0.005)
      expect(peakMemoryBytes).toBeGreaterThan(MIB)
    }
    expect(figures.wholeRunMs).toBeGreaterThanOrEqual(figures.untilSenderEndMs)
    expect(figures.transferMs !== undefined).toBe(name.startsWith('uftp'))
  })

  test.each(['udpcast-eager', 'uftp-named'] as const)('%s keeps to a cap and mends losses', async (name) => {
    const sourcePath = join(folder, 'source')
    await writeRandomImage(sourcePath, 8 * MIB, 1)
    lab.loss(1)
    const run = { lab, sourcePath, receiverCount: 2, folder, maxBitsPerSec: 80e6 }
    const { lostPacketCount, untilSenderEndMs } = await runPatiently(name, run)
    expect(lostPacketCount).toBeGreaterThan(0)
    expect(untilSenderEndMs).toBeGreaterThan(800)
  })
})
