import { join } from 'node:path'
import { runCommand } from '../../test/lab/command.ts'
import { allocatedBytes, writeRandomImage } from '../../test/lab/images.ts'
import { rootfsImage } from '../../test/lab/rootfs-image.ts'
import type { DataName } from './scenario.ts'

export interface BenchImage {
  readonly path: string
  readonly sizeBytes: number
  /** What the file system of the host has stored of it: the rest is holes. */
  readonly allocatedBytes: number
}

/** Makes the image in a folder of the caller's, which removes it. The rootfs has its own size, whatever `randomBytes` is. */
export async function makeImage(data: DataName, folder: string, randomBytes: number): Promise<BenchImage> {
  const path = join(folder, data)
  switch (data) {
    case 'random':
      await writeRandomImage(path, randomBytes, 1)
      break
    case 'rootfs':
      runCommand('cp', ['--sparse=always', rootfsImage(), path])
      break
    default:
      data satisfies never
  }
  return { path, sizeBytes: Number(runCommand('stat', ['-c', '%s', path])), allocatedBytes: allocatedBytes(path) }
}
