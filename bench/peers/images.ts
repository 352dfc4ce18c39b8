import { join } from 'node:path'
import { runCommand } from '../../test/lab/command.ts'
import { allocatedBytes, writeIslandImage, writeRandomImage } from '../../test/lab/images.ts'
import { rootfsImage } from '../../test/lab/rootfs-image.ts'
import type { Scenario } from './scenario.ts'

export interface BenchImage {
  readonly path: string
  readonly sizeBytes: number
  /** What the file system of the host has stored of it: the rest is holes. */
  readonly allocatedBytes: number
}

const MIB = 1024 ** 2

/** Of the image `holes`. */
const ISLANDS = { islandCount: 4096, islandBytes: 128 * 1024, seed: 2 }

/** Of the image `rootfs`: 512 MiB in 4 GiB. */
const ROOTFS_SHARE = 1 / 8

/** Scenarios with the same name have the same image. */
export const imageName = ({ data, imageMib }: Scenario): string => `${data}-${imageMib}MiB`

/** What will be stored of an image, about, in MiB. */
export function storedMib({ data, imageMib }: Scenario): number {
  switch (data) {
    case 'random':
      return imageMib
    case 'rootfs':
      return imageMib * ROOTFS_SHARE
    case 'holes':
      return Math.min(imageMib, (ISLANDS.islandCount * ISLANDS.islandBytes) / 2 / MIB)
  }
}

/** Makes a scenario's image in a folder of the caller's, which removes it. */
export async function makeImage(scenario: Scenario, folder: string): Promise<BenchImage> {
  const path = join(folder, imageName(scenario))
  const sizeBytes = scenario.imageMib * MIB
  switch (scenario.data) {
    case 'random':
      await writeRandomImage(path, sizeBytes, 1)
      break
    case 'rootfs':
      runCommand('cp', [
        '--sparse=always',
        rootfsImage({ sizeBytes, contentBytes: rootfsContentBytes(sizeBytes) }),
        path,
      ])
      break
    case 'holes':
      await writeIslandImage(path, { sizeBytes, ...ISLANDS })
      break
    default:
      scenario.data satisfies never
  }
  return { path, sizeBytes, allocatedBytes: allocatedBytes(path) }
}

/** Files, so that with its own tables the file system takes about {@link ROOTFS_SHARE}. */
const rootfsContentBytes = (sizeBytes: number): number => Math.round((sizeBytes * 500) / 4096)
