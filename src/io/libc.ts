import { boundOnce, type Ffi } from './ffi.ts'

/**
 * The few calls of the C library that Node.js lacks. Linux with glibc only.
 *
 * Each returns what the C function returns, and on failure the error number negated (`-os.constants.errno.EINVAL`);
 * none throws. Offsets and lengths are bytes, up to 2^53 - 1.
 */
export interface Libc {
  /** `lseek(2)`, 64 bits wide. Moves the descriptor's position: read and write such a descriptor at explicit positions. */
  lseek(fd: number, offset: number, whence: number): number
  /**
   * `fallocate(2)`, 64 bits wide, on a worker thread, as zeroing a device can take long. Resolves to 0 or the negated
   * error number; the descriptor must stay open until then.
   */
  fallocate(fd: number, mode: number, offset: number, lengthBytes: number): Promise<number>
  /** `socket(2)`. */
  socket(domain: number, type: number, protocol: number): number
  /** `bind(2)`; `address` is a whole `struct sockaddr_…` in the machine's layout. */
  bind(fd: number, address: Uint8Array): number
  /** `setsockopt(2)`; `value` in the machine's byte order. */
  setsockopt(fd: number, level: number, option: number, value: Uint8Array): number
  /** `getsockopt(2)`: fills `into` and returns the length of the value in bytes. */
  getsockopt(fd: number, level: number, option: number, into: Uint8Array): number
  /** `recvmmsg(2)` without a timeout: `headers` hold `count` of `struct mmsghdr`. Returns how many messages came. */
  recvmmsg(fd: number, headers: Uint8Array, count: number, flags: number): number
  /** `sendmmsg(2)`: `headers` hold `count` of `struct mmsghdr`. Returns how many messages were sent. */
  sendmmsg(fd: number, headers: Uint8Array, count: number, flags: number): number
  /** `sendto(2)`; `address` is a whole `struct sockaddr_…`. Returns how many bytes were sent. */
  sendto(fd: number, bytes: Uint8Array, flags: number, address: Uint8Array): number
  /** Where bytes lie in memory, for structures that point to them. Whoever keeps such a structure must keep the bytes. */
  addressOf(bytes: Uint8Array): number
  /** `fcntl(2)` with a command that takes a number. */
  fcntl(fd: number, command: number, value: number): number
  /** `flock(2)`. */
  flock(fd: number, operation: number): number
  /** `close(2)`. */
  close(fd: number): number
  /** `mallopt(3)`: sets a parameter of the allocator for the whole process. Returns 1, or 0 when it was refused. */
  mallopt(parameter: number, value: number): number
}

/**
 * Loads the C library, once per process, on first use (about 10 ms).
 *
 * @returns undefined, never an error, where that cannot be: there is no foreign function interface, the system has no glibc, or a symbol
 * is missing.
 */
export const loadLibc: () => Libc | undefined = boundOnce(bindFunctions)

type Int = number
type Int64 = number | bigint

function bindFunctions(ffi: Ffi): Libc {
  // Named by its version, so that musl, which has other symbols, is not taken for glibc.
  const library = ffi.load('libc.so.6')
  // The names that end in 64 take 64-bit offsets on every architecture; the plain ones do not on 32-bit systems.
  const lseek = library.func('int64_t lseek64(int fd, int64_t offset, int whence)') as (
    ...args: [Int, Int64, Int]
  ) => Int64
  const fallocate = library.func('int fallocate64(int fd, int mode, int64_t offset, int64_t length)') as {
    async(...args: [Int, Int, Int64, Int64, (error: null, result: Int) => void]): void
  }
  const socket = library.func('int socket(int domain, int type, int protocol)') as (...args: [Int, Int, Int]) => Int
  const bind = library.func('int bind(int fd, const uint8_t *address, uint32_t length)') as (
    ...args: [Int, Uint8Array, Int]
  ) => Int
  const setsockopt = library.func(
    'int setsockopt(int fd, int level, int option, const uint8_t *value, uint32_t length)',
  ) as (...args: [Int, Int, Int, Uint8Array, Int]) => Int
  const getsockopt = library.func(
    'int getsockopt(int fd, int level, int option, uint8_t *value, uint32_t *length)',
  ) as (...args: [Int, Int, Int, Uint8Array, Uint32Array]) => Int
  const recvmmsg = library.func(
    'int recvmmsg(int fd, uint8_t *headers, unsigned int count, int flags, void *timeout)',
  ) as (...args: [Int, Uint8Array, Int, Int, null]) => Int
  const sendmmsg = library.func('int sendmmsg(int fd, uint8_t *headers, unsigned int count, int flags)') as (
    ...args: [Int, Uint8Array, Int, Int]
  ) => Int
  const sendto = library.func(
    'int64_t sendto(int fd, const uint8_t *bytes, size_t lengthBytes, int flags, const uint8_t *address, uint32_t length)',
  ) as (...args: [Int, Uint8Array, Int, Int, Uint8Array, Int]) => Int64
  // Of no bytes: it returns where they would have gone.
  const memmove = library.func('uintptr_t memmove(uint8_t *to, const uint8_t *from, size_t lengthBytes)') as (
    ...args: [Uint8Array, Uint8Array, Int]
  ) => Int64
  const fcntl = library.func('int fcntl(int fd, int command, int value)') as (...args: [Int, Int, Int]) => Int
  const flock = library.func('int flock(int fd, int operation)') as (fd: Int, operation: Int) => Int
  const close = library.func('int close(int fd)') as (fd: Int) => Int
  const mallopt = library.func('int mallopt(int parameter, int value)') as (...args: [Int, Int]) => Int

  const orErrno = (result: Int64): number => (result < 0 ? -ffi.errno() : Number(result))
  return {
    lseek: (fd, offset, whence) => orErrno(lseek(fd, offset, whence)),
    fallocate: (fd, mode, offset, lengthBytes) =>
      new Promise((resolve) => {
        // Koffi restores the worker thread's errno for the time of this callback.
        fallocate.async(fd, mode, offset, lengthBytes, (_error, result) => resolve(orErrno(result)))
      }),
    socket: (domain, type, protocol) => orErrno(socket(domain, type, protocol)),
    bind: (fd, address) => orErrno(bind(fd, address, address.length)),
    setsockopt: (fd, level, option, value) => orErrno(setsockopt(fd, level, option, value, value.length)),
    getsockopt: (fd, level, option, into) => {
      const length = Uint32Array.of(into.length)
      const result = orErrno(getsockopt(fd, level, option, into, length))
      return result < 0 ? result : length[0]!
    },
    recvmmsg: (fd, headers, count, flags) => orErrno(recvmmsg(fd, headers, count, flags, null)),
    sendmmsg: (fd, headers, count, flags) => orErrno(sendmmsg(fd, headers, count, flags)),
    sendto: (fd, bytes, flags, address) => orErrno(sendto(fd, bytes, bytes.length, flags, address, address.length)),
    addressOf: (bytes) => Number(memmove(bytes, bytes, 0)),
    fcntl: (fd, command, value) => orErrno(fcntl(fd, command, value)),
    flock: (fd, operation) => orErrno(flock(fd, operation)),
    close: (fd) => orErrno(close(fd)),
    mallopt,
  }
}
