import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { runProgram } from '../../io/index.ts'
import { makeStepFolder } from './host-folder.ts'

/** How long the test boot may take, milliseconds. With an accelerator that works it takes one second, firmware and all. */
const BOOT_TIMEOUT_MS = 8000

/** Where the device is that ends QEMU, what it is told, and with what status it then does: twice that and one; 1 is QEMU's own failure. */
const EXIT_PORT = 0xf4
const EXIT_VALUE = 0x10
const EXIT_STATUS = 2 * EXIT_VALUE + 1

const SECTOR_BYTES = 512

/**
 * A boot sector: counts down from 50 million and ends QEMU. Where guests are really executed that takes a fraction of a second; a
 * kernel module that offers /dev/kvm but emulates every instruction takes minutes, as it would for the kernel of any guest.
 */
function bootSector(): Buffer {
  const sector = Buffer.alloc(SECTOR_BYTES)
  Buffer.of(
    ...[0x66, 0xb9, 0x80, 0xf0, 0xfa, 0x02], // mov ecx, 50000000
    ...[0x66, 0x49], // dec ecx
    ...[0x75, 0xfc], // jnz to the line before
    ...[0xb0, EXIT_VALUE], // mov al, EXIT_VALUE
    ...[0xe6, EXIT_PORT], // out EXIT_PORT, al
    ...[0xf4], // hlt
  ).copy(sector)
  sector.writeUInt16LE(0xaa55, SECTOR_BYTES - 2)
  return sector
}

/** What a machine is to run with: `auto` is KVM where that is of use, and software emulation otherwise. */
export async function settleAccelerator(accelerator: string, qemu: string, folder: string): Promise<string> {
  if (accelerator !== 'auto') return accelerator
  return (await isUsable('kvm', qemu, folder)) ? 'kvm' : 'tcg'
}

/**
 * Boots a tiny guest with it: that a device file is there tells little.
 * @param folder where there is room for a file for a moment
 */
export async function isUsable(
  accelerator: string,
  qemu: string,
  folder: string,
  timeoutMs: number = BOOT_TIMEOUT_MS,
): Promise<boolean> {
  const work = await makeStepFolder(folder)
  try {
    const disk = join(work, 'sector')
    await writeFile(disk, bootSector())
    const { end } = await runProgram(
      qemu,
      [
        ...['-accel', accelerator, '-cpu', 'max', '-m', '16', '-nodefaults', '-no-user-config', '-display', 'none'],
        ...['-drive', `if=ide,format=raw,file=${disk},snapshot=on`],
        ...['-device', `isa-debug-exit,iobase=${EXIT_PORT},iosize=1`],
      ],
      timeoutMs,
    )
    return end.kind === 'exited' && end.status === EXIT_STATUS
  } finally {
    await rm(work, { recursive: true, force: true })
  }
}
