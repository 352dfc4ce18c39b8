import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { FaultyDisk } from '../lab/faulty-disk.ts'
import { firstDifference, writeIslandImage, writeRandomImage } from '../lab/images.ts'
import { Lab } from '../lab/lab.ts'
import { startReceiver, startSender } from '../lab/skilfish-process.ts'

const MIB = 1024 * 1024
/** Of a packet with the default MTU, over IPv4. */
const SYMBOL_BYTES = 1448
const run = (command: string, ...args: readonly string[]): string =>
  execFileSync(command, args, { encoding: 'utf8' }).trim()

describe('going on with --resume', () => {
  const folder = mkdtempSync('/dev/shm/skilfish-resume-')
  const image = join(folder, 'image')
  const journal = join(folder, 'journal')
  let lab: Lab
  let disk: FaultyDisk | undefined

  beforeAll(() => {
    lab = Lab.up({ receiverCount: 1 })
  })
  afterEach(async () => {
    await disk?.down()
    disk = undefined
    rmSync(journal, { force: true })
  })
  afterAll(() => {
    lab.down()
    rmSync(folder, { recursive: true, force: true })
  })

  /**
   * Receives, and loses the power of the machine each time the journal has grown.
   * @param bitrate so low that the transfer outlasts the cuts: the journal grows once a second or more seldom
   */
  async function receiveWithPowerCuts(
    cutCount: number,
    bitrate: string,
    place: () => { readonly target: string; readonly journal: string },
  ): Promise<Record<string, unknown>> {
    const sender = startSender(lab, ['--max-bitrate', bitrate, '--receiver-timeout', '12', image])
    for (let cut = 0; cut < cutCount; cut++) {
      const { target, journal } = place()
      const before = existsSync(journal) ? readFileSync(journal).length : 0
      const receiver = startReceiver(lab, 1, ['--resume', '--start-timeout', '20', '--journal', journal, target])
      await expect
        .poll(() => (existsSync(journal) ? readFileSync(journal).length : 0), { timeout: 60_000 })
        .toBeGreaterThan(before)
      receiver.child.kill('SIGKILL')
      await receiver.ended
      await disk!.cutPower()
    }
    const { target, journal } = place()
    const last = startReceiver(lab, 1, ['--resume', '--start-timeout', '20', '--journal', journal, target])
    const [{ status, stderr, result }] = await Promise.all([last.ended, sender.ended])
    expect(status, stderr).toBe(0)
    expect(existsSync(journal)).toBe(false)
    return { ...result }
  }

  it('after power cuts, of a block device, with a journal that outlives what was not flushed', async () => {
    await writeIslandImage(image, { sizeBytes: 96 * MIB, islandCount: 24, islandBytes: 6 * MIB, seed: 31 })
    disk = await FaultyDisk.up(96 * MIB)
    const result = await receiveWithPowerCuts(3, '40M', () => ({ target: disk!.device, journal }))
    expect(result['resumedBytes']).toBeGreaterThan(0)
    expect(readFileSync(disk.device).equals(readFileSync(image))).toBe(true)
  })

  it('after power cuts, of a file with its journal beside it', async () => {
    await writeRandomImage(image, 96 * MIB, 32)
    disk = await FaultyDisk.up(256 * MIB)
    disk.format()
    let target = ''
    const result = await receiveWithPowerCuts(3, '80M', () => {
      target = join(disk!.mount(), 'target')
      return { target, journal: `${target}.skilfish` }
    })
    expect(result['resumedBytes']).toBeGreaterThan(0)
    expect(await firstDifference(image, target)).toBeUndefined()
  })

  it('after a full disk was made free', async () => {
    await writeRandomImage(image, 48 * MIB, 33)
    const mount = join(folder, 'small')
    mkdirSync(mount)
    run('mount', '-t', 'tmpfs', '-o', 'size=24m', 'tmpfs', mount)
    try {
      const target = join(mount, 'target')
      const sender = startSender(lab, ['--max-bitrate', '80M', '--receiver-timeout', '20', '--image-id', 'full', image])
      const full = await startReceiver(lab, 1, [target]).ended
      expect([full.status, full.errorCode]).toEqual([5, 'TARGET_FULL'])
      await sender.ended
      run('mount', '-o', 'remount,size=64m', mount)
      const again = startReceiver(lab, 1, ['--resume', target])
      const sent = await startSender(lab, ['--max-bitrate', '120M', '--image-id', 'full', image]).ended
      const ended = await again.ended
      expect([ended.status, sent.status], ended.stderr).toEqual([0, 0])
      const { resumedBytes } = ended.result!
      expect(resumedBytes).toBeGreaterThan(8 * MIB)
      // Whatever is lost on a busy machine, and repaired.
      expect(sent.result!.stats.sourceSymbols * SYMBOL_BYTES).toBeLessThan(1.1 * (48 * MIB - resumedBytes))
      expect(await firstDifference(image, target)).toBeUndefined()
    } finally {
      run('umount', mount)
    }
  })
})
