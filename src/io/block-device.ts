import type { BigIntStats } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { loadLibc } from './libc.ts'

const SEEK_END = 2
/** The unit of `/sys/dev/block/…/size`, whatever the device's own block size is (Linux, Documentation/ABI/stable/sysfs-block). */
const SYSFS_SECTOR_BYTES = 512

/**
 * Capacity in bytes of the block device behind an open descriptor; `stat` is the descriptor's own. Undefined where the
 * system does not tell: neither sysfs nor the foreign function interface is there.
 */
export async function blockDeviceBytes(fd: number, stat: BigIntStats): Promise<number | undefined> {
  const sectors = await attribute(stat, 'size')
  if (sectors !== undefined) return sectors * SYSFS_SECTOR_BYTES
  const end = loadLibc()?.lseek(fd, 0, SEEK_END)
  return end === undefined || end < 0 ? undefined : end
}

/**
 * Tells whether writes to the block device of which this is the `stat` are refused. Linux opens such a device for writing all
 * the same, and fails the first write. False where the system does not tell.
 */
export async function isReadOnlyDevice(stat: BigIntStats): Promise<boolean> {
  return (await attribute(stat, 'ro')) === 1
}

/** A number that sysfs has about a device. */
async function attribute(stat: BigIntStats, name: string): Promise<number | undefined> {
  const { major, minor } = deviceNumber(stat.rdev)
  const text = await readFile(`/sys/dev/block/${major}:${minor}/${name}`, 'latin1').catch(() => '')
  return /^\d+\s*$/.test(text) ? Number(text) : undefined
}

/** Splits a device number as glibc's `makedev(3)` packs it. */
function deviceNumber(rdev: bigint): { major: number; minor: number } {
  return {
    major: Number(((rdev >> 32n) & 0xfffff000n) | ((rdev >> 8n) & 0xfffn)),
    minor: Number(((rdev >> 12n) & 0xffffff00n) | (rdev & 0xffn)),
  }
}
