import { openSync, closeSync, ftruncateSync, mkdtempSync, rmSync, writeSync, fstatSync } from 'node:fs'
import { constants, tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { keepFreedMemory } from '../../../src/io/allocator.ts'
import { NO_FFI_VARIABLE } from '../../../src/io/ffi.ts'
import { loadLibc } from '../../../src/io/libc.ts'

const libc = loadLibc()

it('is not there when the environment turns it off', () => {
  vi.stubEnv(NO_FFI_VARIABLE, '1')
  expect(loadLibc()).toBeUndefined()
  vi.unstubAllEnvs()
  expect(loadLibc()).toBe(libc)
})

it('is not there on another platform', () => {
  const platform = vi.spyOn(process, 'platform', 'get').mockReturnValue('darwin')
  expect(loadLibc()).toBeUndefined()
  platform.mockRestore()
})

// Where koffi or glibc is missing there is nothing to test: the other paths are tested in their own files.
describe.runIf(libc)('the C library', () => {
  const SEEK_DATA = 3
  const SOL_SOCKET = 1
  const SO_TYPE = 3
  const SO_RCVBUF = 8
  const M_MMAP_THRESHOLD = -3
  const { EBADF, ENXIO } = constants.errno
  let folder: string
  let fd: number

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'skilfish-libc-'))
    fd = openSync(join(folder, 'file'), 'w+')
  })
  afterEach(() => {
    closeSync(fd)
    rmSync(folder, { recursive: true })
  })

  it('takes and returns offsets beyond 32 bits', () => {
    const offset = 2 ** 40
    writeSync(fd, 'data', offset)
    expect(libc!.lseek(fd, 0, SEEK_DATA)).toBeLessThanOrEqual(offset)
    expect(libc!.lseek(fd, offset + 1, SEEK_DATA)).toBe(offset + 1)
  })

  it('returns the negated error number', async () => {
    ftruncateSync(fd, 10)
    expect(libc!.lseek(fd, 10, SEEK_DATA)).toBe(-ENXIO)
    expect(await libc!.fallocate(2 ** 30, 0, 0, 1)).toBe(-EBADF)
    expect(libc!.setsockopt(2 ** 30, SOL_SOCKET, SO_RCVBUF, new Uint8Array(4))).toBe(-EBADF)
    expect(libc!.close(2 ** 30)).toBe(-EBADF)
  })

  it('sets parameters of the allocator', () => {
    keepFreedMemory()
    expect(libc!.mallopt(M_MMAP_THRESHOLD, 33_554_432)).toBe(1)
  })

  it('allocates space', async () => {
    expect(await libc!.fallocate(fd, 0, 0, 8192)).toBe(0)
    expect(fstatSync(fd).size).toBe(8192)
  })

  it('makes, sets up and binds a socket', () => {
    const AF_INET = 2
    const SOCK_DGRAM = 2
    const socket = libc!.socket(AF_INET, SOCK_DGRAM, 0)
    expect(socket).toBeGreaterThan(2)
    const value = new Uint8Array(8)
    expect(libc!.getsockopt(socket, SOL_SOCKET, SO_TYPE, value)).toBe(4)
    expect(new Uint32Array(value.buffer)[0]).toBe(SOCK_DGRAM)
    expect(libc!.setsockopt(socket, SOL_SOCKET, SO_RCVBUF, new Uint8Array(Uint32Array.of(65536).buffer))).toBe(0)
    libc!.getsockopt(socket, SOL_SOCKET, SO_RCVBUF, value)
    // Linux doubles the value for its own bookkeeping (socket(7)).
    expect(new Uint32Array(value.buffer)[0]).toBe(131072)
    const address = new Uint8Array(16)
    new Uint16Array(address.buffer)[0] = AF_INET
    address.set([127, 0, 0, 1], 4)
    expect(libc!.bind(socket, address)).toBe(0)
    expect(libc!.close(socket)).toBe(0)
    expect(libc!.close(socket)).toBe(-EBADF)
  })
})
