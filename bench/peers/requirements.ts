import { readFileSync, statfsSync } from 'node:fs'
import { absentPackages, missingPackages } from '../../test/lab/command.ts'
import { Lab, LAB_PACKAGES } from '../../test/lab/lab.ts'
import { PEER_PACKAGES } from '../../test/lab/peers.ts'
import { ROOTFS_PACKAGES } from '../../test/lab/rootfs-image.ts'

/** Processes of a transfer, in MiB, at the least, beside images and copies. */
const PROCESSES_MIB = 1024

/**
 * Why the benchmark cannot run here and what to do, as text for people; undefined when it can.
 *
 * @param folder of a file system in memory, which is to hold `wantedMib` MiB of images and copies
 */
export function whatIsMissing(folder: string, wantedMib: number): string | undefined {
  const lines = [...Lab.missing(), ...missingPackages({ ...PEER_PACKAGES, ...ROOTFS_PACKAGES })]
  const packages = absentPackages({ ...LAB_PACKAGES, ...PEER_PACKAGES, ...ROOTFS_PACKAGES }).map(([name]) => name)
  const freeMib = Math.min(freeMemoryMib() - PROCESSES_MIB, freeSpaceMib(folder))
  if (freeMib < wantedMib) {
    lines.push(
      `${gibibytes(wantedMib)} GiB of memory for images and copies in ${folder} (it has ${gibibytes(freeMib)}); ` +
        'choose fewer bars (--bars) or a smaller point',
    )
  }
  if (lines.length === 0) return undefined
  return [
    'the benchmark needs',
    ...lines.map((line) => `  - ${line}`),
    ...(packages.length > 0 ? [`as root: apt-get install -y --no-install-recommends ${packages.join(' ')}`] : []),
  ].join('\n')
}

/** What programs can have without swapping. Source: proc(5). */
const freeMemoryMib = (): number =>
  Number(/^MemAvailable:\s+(\d+) kB$/m.exec(readFileSync('/proc/meminfo', 'latin1'))?.[1] ?? 0) / 1024

function freeSpaceMib(folder: string): number {
  const { bavail, bsize } = statfsSync(folder)
  return (bavail * bsize) / 1024 ** 2
}

const gibibytes = (mib: number): string => Math.max(0, mib / 1024).toFixed(1)
