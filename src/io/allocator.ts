import { loadLibc } from './libc.ts'

// Parameters of mallopt(3).
const M_TRIM_THRESHOLD = -1
const M_TOP_PAD = -2
const M_MMAP_THRESHOLD = -3

/** Free memory at the end of the heap that is kept, bytes: what the buffers of packets come to between two garbage collections. Ours. */
const KEPT_BYTES = 67_108_864

/** By how much the heap grows at once, bytes. Ours. */
const GROWTH_BYTES = 8_388_608

/** Longest block that comes from the heap, bytes: the largest that glibc allows on 64-bit systems (mallopt(3)). */
const HEAP_BLOCK_BYTES = 33_554_432

/**
 * Has the process keep memory that it frees, where glibc manages it. Node.js allocates a buffer for each message that a socket gets;
 * glibc gives their memory back and the kernel faults it in again, page by page: 28,000 faults for 512 MiB received, 17,000
 * with this, and 2.05 s of processor time in place of 2.4 (two-core virtual machine, Node 20, four receivers). For programs: a library
 * leaves this to its caller.
 */
export function keepFreedMemory(): void {
  const libc = loadLibc()
  libc?.mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)
  libc?.mallopt(M_TOP_PAD, GROWTH_BYTES)
  libc?.mallopt(M_MMAP_THRESHOLD, HEAP_BLOCK_BYTES)
}
