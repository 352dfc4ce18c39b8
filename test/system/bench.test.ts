import { spawnSync, type SpawnSyncReturns } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { runRawStream } from '../../bench/peers/raw-limit.ts'
import type { Report } from '../../bench/peers/report.ts'
import { BASE } from '../../bench/peers/scenario.ts'
import { measureStart } from '../../bench/peers/start-times.ts'
import { writeRandomImage } from '../lab/images.ts'
import { Lab } from '../lab/lab.ts'
import { listNamespaces } from '../lab/namespaces.ts'
import { useTemporaryFolder } from '../unit/io/temporary-folder.ts'

const MIB = 1024 ** 2
const ROOT = join(import.meta.dirname, '../..')

const path = useTemporaryFolder()

describe('parts of the peers benchmark, in a lab', () => {
  let lab: Lab
  beforeEach(() => {
    lab = Lab.up({ receiverCount: 3 })
  })
  afterEach(() => lab.down())

  // All of it fits the receivers' buffers, so that nothing is lost however busy the machine is.
  const scenario = { ...BASE, imageMib: 4, receiverCount: 3 }

  test('a raw stream within what the hosts can take arrives whole, at its rate', async () => {
    const run = await runRawStream(lab, scenario, 60_000, 100e6)
    expect(run).toMatchObject({ isLossless: true, capBitsPerSec: 100e6 })
    // It may be up to 4 ms ahead.
    expect(run.bitsPerSec).toBeLessThan(103e6)
    expect(run.wholeRunMs).toBeGreaterThan(320)
    expect(run.sentBytes).toBeGreaterThan(4 * MIB)
    expect(run.receivers).toHaveLength(3)
  })

  test('a raw stream that one receiver misses a part of is known not to be lossless', async () => {
    lab.loss(5, 2)
    const run = await runRawStream(lab, scenario, 60_000, 100e6)
    expect(run.isLossless).toBe(false)
    expect(run.lostPacketCount).toBeGreaterThan(0)
  })

  test('the start of our commands is timed, of one receiver fewer than the lab has', async () => {
    const sourcePath = path('source')
    await writeRandomImage(sourcePath, 2 * MIB, 1)
    const { receiverReadyMs, firstDataMs } = await measureStart(lab, sourcePath, path())
    expect(receiverReadyMs).toHaveLength(2)
    // Node.js alone takes some tens of milliseconds to start.
    for (const ms of [...receiverReadyMs, firstDataMs]) expect(ms).toBeGreaterThan(20)
    expect(readdirSync(path())).toEqual(['source'])
  })
})

describe('npm run bench:peers', () => {
  const run = (...args: readonly string[]): SpawnSyncReturns<string> =>
    spawnSync(process.execPath, ['--import', 'tsx', 'bench/peers.ts', ...args], { cwd: ROOT, encoding: 'utf8' })

  test('measures one point, writes it in three ways, and leaves nothing behind', () => {
    const point = ['--receivers', '2', '--mib', '64', '--programs', 'skilfish,skilfish-no-offload', '--rounds', '1']
    const { pid, status, stdout, stderr } = run(...point, '--out', path())
    expect(stderr).toBe('')
    expect(status).toBe(0)
    expect(stdout).toContain('about 1 min')
    const report = JSON.parse(readFileSync(path('peers-point.json'), 'utf8')) as Report
    expect(report.summaries.map(({ program, runCount }) => [program, runCount])).toEqual([
      ['skilfish', 1],
      ['skilfish-no-offload', 1],
    ])
    expect(readFileSync(path('peers-point.md'), 'utf8')).toContain(
      '| skilfish | 2 receivers, 0 % loss, random 64 MiB | 1 |',
    )
    expect(readFileSync(path('peers-point.svg'), 'utf8')).toContain('>skilfish-no-offload</text>')
    expect(listNamespaces().filter((name) => name.startsWith(`skilfish-${pid}-`))).toEqual([])
  })

  test.each([
    [['--bars', 'no such bar'], /no bar contains "no such bar"; there are\n {2}skilfish, times as fast as udpcast/],
    [['--plan', 'axes', '--loss', '1'], /exclude each other/],
    [['--receivers', '200', '--mib', '4096'], /GiB of memory for images and copies in \/dev\/shm/],
  ])('refuses %j', (args, message) => {
    const { status, stderr } = run(...args, '--out', path('results'))
    expect(status).toBe(1)
    expect(stderr).toMatch(message)
    expect(existsSync(path('results'))).toBe(false)
  })

  test('names what to install where a peer is missing', () => {
    // In mounts of its own, so that nobody else misses the program.
    const hidden = 'mount --bind /dev/null "$(command -v uftp)" && exec "$@"'
    const command = [process.execPath, '--import', 'tsx', 'bench/peers.ts', '--mib', '64']
    const { status, stderr } = spawnSync('unshare', ['--mount', 'sh', '-c', hidden, 'sh', ...command], {
      cwd: ROOT,
      encoding: 'utf8',
    })
    expect(status).toBe(1)
    expect(stderr).toContain('  - Debian package uftp (for uftp)\n')
    expect(stderr).toContain('apt-get install -y --no-install-recommends uftp\n')
  })
})
