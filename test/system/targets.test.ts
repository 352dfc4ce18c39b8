import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { createReadStream, createWriteStream } from 'node:fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { firstDifference, writeIslandImage, writeRandomImage } from '../lab/images.ts'
import { Lab } from '../lab/lab.ts'
import { startReceiver, startSender, startVerification } from '../lab/skilfish-process.ts'

const MIB = 1024 * 1024
const dist = join(import.meta.dirname, '../../dist/cli')
const run = (command: string, ...args: string[]): string => execFileSync(command, args, { encoding: 'utf8' }).trim()

describe('targets and sources of the real commands', () => {
  const folder = mkdtempSync('/dev/shm/skilfish-targets-')
  const image = join(folder, 'image')
  let lab: Lab

  beforeAll(() => {
    lab = Lab.up({ receiverCount: 2 })
  })
  afterAll(() => {
    lab.down()
    rmSync(folder, { recursive: true, force: true })
  })

  /** A loop device over a file full of 0xff. */
  function staleDevice(sizeBytes: number): { readonly device: string; readonly free: () => void } {
    const backing = join(folder, 'backing')
    writeFileSync(backing, Buffer.alloc(sizeBytes, 0xff))
    const device = run('losetup', '--find', '--show', backing)
    return { device, free: () => run('losetup', '--detach', device) }
  }

  it('a block device with stale content ends identical to a sparse image', async () => {
    await writeIslandImage(image, { sizeBytes: 48 * MIB, islandCount: 12, islandBytes: MIB, seed: 1 })
    const { device, free } = staleDevice(48 * MIB)
    try {
      const receiver = startReceiver(lab, 1, [device])
      const sent = await startSender(lab, [image]).ended
      expect([sent.status, (await receiver.ended).status], sent.stderr).toEqual([0, 0])
      expect(readFileSync(device).equals(readFileSync(image))).toBe(true)
    } finally {
      free()
    }
  })

  it('a device is verified with its fingerprint, whatever lies behind the image', async () => {
    await writeIslandImage(image, { sizeBytes: 24 * MIB, islandCount: 6, islandBytes: MIB, seed: 9 })
    const { device, free } = staleDevice(32 * MIB)
    try {
      const receiver = startReceiver(lab, 1, [device])
      await startSender(lab, [image]).ended
      const { fingerprint } = (await receiver.ended).result!
      const verify = async (...args: readonly string[]): Promise<unknown[]> => {
        const { status, errorCode } = await startVerification(lab, [...args, device]).ended
        return [status, errorCode]
      }
      expect(await verify('--fingerprint', fingerprint!)).toEqual([0, undefined])
      expect(await verify()).toEqual([5, 'FINGERPRINT_MISSING'])
      run('dd', 'if=/dev/urandom', `of=${device}`, 'bs=1', 'count=9', 'seek=5000', 'conv=notrunc', 'status=none')
      expect(await verify('--fingerprint', fingerprint!)).toEqual([5, 'TARGET_DIFFERS'])
    } finally {
      free()
    }
  })

  it('a device that is too small is refused before anything is written, and the sender names it', async () => {
    await writeRandomImage(image, 48 * MIB, 2)
    const { device, free } = staleDevice(32 * MIB)
    try {
      const receiver = startReceiver(lab, 1, [device])
      const sent = await startSender(lab, ['--start-timeout', '3', image]).ended
      const received = await receiver.ended
      expect([received.status, received.errorCode]).toEqual([5, 'TARGET_TOO_SMALL'])
      expect(sent.status).toBeGreaterThan(0)
      expect(readFileSync(device).every((byte) => byte === 0xff)).toBe(true)
    } finally {
      free()
    }
  })

  it('a full disk fails one receiver with TARGET_FULL, and the other is unharmed', async () => {
    await writeRandomImage(image, 48 * MIB, 3)
    const mount = join(folder, 'small')
    mkdirSync(mount)
    run('mount', '-t', 'tmpfs', '-o', 'size=16m', 'tmpfs', mount)
    try {
      const copy = join(folder, 'copy')
      const full = startReceiver(lab, 1, [join(mount, 'target')])
      const good = startReceiver(lab, 2, [copy])
      const sent = await startSender(lab, ['--min-receivers', '2', image]).ended
      const [fullEnded, goodEnded] = await Promise.all([full.ended, good.ended])
      expect([fullEnded.status, fullEnded.errorCode]).toEqual([5, 'TARGET_FULL'])
      expect([goodEnded.status, sent.status, sent.errorCode]).toEqual([0, 4, 'RECEIVERS_FAILED'])
      expect(await firstDifference(image, copy)).toBeUndefined()
    } finally {
      run('umount', mount)
    }
  })

  it('from a pipe into a pipe, under loss', async () => {
    await writeIslandImage(image, { sizeBytes: 24 * MIB, islandCount: 20, islandBytes: MIB, seed: 4 })
    const copy = join(folder, 'piped')
    lab.loss(2)
    try {
      const common = ['--quiet', '--interface', 'eth0']
      const receiver = lab.spawn(1, process.execPath, [join(dist, 'recv.js'), ...common, '-'], {
        stdio: ['ignore', 'pipe', 'inherit'],
      })
      const sender = lab.spawn(0, process.execPath, [join(dist, 'send.js'), ...common, '-'], {
        stdio: ['pipe', 'ignore', 'inherit'],
      })
      await Promise.all([
        pipeline(createReadStream(image), sender.stdin!),
        pipeline(receiver.stdout!, createWriteStream(copy)),
      ])
      expect(await firstDifference(image, copy)).toBeUndefined()
    } finally {
      lab.loss(0)
    }
  })

  it('a late receiver of a pipe fails with DATA_GONE without a spool, and gets the image with one', async () => {
    await writeRandomImage(image, 160 * MIB, 5)
    for (const spool of [false, true]) {
      const early = startReceiver(lab, 1, [join(folder, 'early')])
      const sender = lab.spawn(
        0,
        process.execPath,
        [
          ...[join(dist, 'send.js'), '--json', '--interface', 'eth0', '--max-bitrate', '400M'],
          ...(spool ? ['--spool', join(folder, 'spool')] : []),
          '-',
        ],
        { stdio: ['pipe', 'ignore', 'inherit'] },
      )
      const feeding = pipeline(createReadStream(image), sender.stdin!)
      await early.until((line) => line['type'] === 'progress' && Number(line['positionBytes']) > 120 * MIB)
      // A receiver that stands still keeps the session from ending before the late one has found it.
      early.child.kill('SIGSTOP')
      const late = startReceiver(lab, 2, [join(folder, 'late')])
      const isFound = late.until(({ type, phase }) => type === 'progress' && phase === 'receiving')
      await Promise.race([isFound.catch(() => undefined), late.ended])
      early.child.kill('SIGCONT')
      const [earlyEnded, lateEnded] = await Promise.all([early.ended, late.ended, feeding])
      expect(earlyEnded.status, earlyEnded.stderr).toBe(0)
      expect([lateEnded.status, lateEnded.errorCode]).toEqual(spool ? [0, undefined] : [7, 'DATA_GONE'])
      expect(await firstDifference(image, join(folder, 'early'))).toBeUndefined()
      if (spool) expect(await firstDifference(image, join(folder, 'late'))).toBeUndefined()
    }
  })

  it('1 TiB with 64 MiB of data starts at once and holds no more memory', async () => {
    const disk = mkdtempSync('/var/tmp/skilfish-sparse-')
    const [huge, copy] = [join(disk, 'huge'), join(disk, 'copy')]
    try {
      await writeRandomImage(huge, 64 * MIB, 6)
      truncateSync(huge, 1024 ** 4)
      const receiver = startReceiver(lab, 1, [copy])
      const sent = await startSender(lab, [huge]).ended
      expect([sent.status, (await receiver.ended).status], sent.stderr).toEqual([0, 0])
      expect(sent.result?.dataBytes).toBe(64 * MIB)
      expect(sent.elapsedMs).toBeLessThan(20_000)
      expect(await firstDifference(huge, copy)).toBeUndefined()
    } finally {
      rmSync(disk, { recursive: true, force: true })
    }
  })

  it('an MTU that the interface does not carry is refused', async () => {
    const sent = await startSender(lab, ['--mtu', '9000', image]).ended
    expect([sent.status, sent.errorCode]).toEqual([2, 'OPTION_INVALID'])
  })
})
