import { createSecretKey } from 'node:crypto'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { describe, expect, it, vi } from 'vitest'
import { loadLibc, NO_FFI_VARIABLE } from '../../../src/io/index.ts'
import { frameCipher } from '../../../src/trust/frame-cipher.ts'
import { loadOpenSsl, type CipherContext, type OpenSsl } from '../../../src/trust/openssl.ts'

const hex = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'hex'))

// McGrew and Viega, "The Galois/Counter Mode of Operation (GCM)", test case 16: a key of 256 bits, associated data, and a last block
// that is not full.
const key = createSecretKey(hex('feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308'))
const NONCE = hex('cafebabefacedbaddecaf888')
const ASSOCIATED = hex('feedfacedeadbeeffeedfacedeadbeefabaddad2')
const PLAIN = hex(
  'd9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39',
)
const SEALED = hex(
  '522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662',
)
const TAG = hex('76fc6ece0f4e1768cddf8853bb2d551b')

const openSsl = loadOpenSsl()
const libc = loadLibc()

describe.each<[string, OpenSsl | undefined]>([
  ['node:crypto', undefined],
  ...(openSsl === undefined ? [] : [['OpenSSL itself', openSsl] as [string, OpenSsl]]),
])('AES-256-GCM by %s', (_name, engine) => {
  it('gives what the standard’s authors give, again and in either direction', () => {
    const cipher = frameCipher(key, engine)
    for (let round = 0; round < 3; round++) {
      const bytes = PLAIN.slice()
      expect(new Uint8Array(cipher.seal(NONCE, ASSOCIATED, bytes))).toEqual(TAG)
      expect(bytes).toEqual(SEALED)
      expect(cipher.open(NONCE, ASSOCIATED, bytes, TAG)).toBe(true)
      expect(bytes).toEqual(PLAIN)
    }
  })

  it('refuses a wrong tag, and what comes after is right again', () => {
    const cipher = frameCipher(key, engine)
    const wrong = TAG.slice()
    wrong[15]! ^= 1
    expect(cipher.open(NONCE, ASSOCIATED, SEALED.slice(), wrong)).toBe(false)
    expect(cipher.open(NONCE, ASSOCIATED.slice(1), SEALED.slice(), TAG)).toBe(false)
    expect(cipher.open(NONCE, ASSOCIATED, SEALED.slice(), TAG)).toBe(true)
  })

  it.each([1, 15, 16, 17, 32_767, 32_768, 32_769, 1_000_003])(
    'touches its %d bytes and none beside them',
    (lengthBytes) => {
      const memory = new Uint8Array(lengthBytes + 32).fill(0x5a)
      const bytes = memory.subarray(16, 16 + lengthBytes)
      const tag = frameCipher(key, engine).seal(NONCE, ASSOCIATED, bytes)
      expect(Buffer.compare(bytes, Buffer.alloc(lengthBytes, 0x5a))).not.toBe(0)
      // The other way must come to the same.
      expect(frameCipher(key, undefined).open(NONCE, ASSOCIATED, bytes, tag)).toBe(true)
      expect(memory.every((byte) => byte === 0x5a)).toBe(true)
    },
  )
})

describe('OpenSSL itself', () => {
  it('is not called when the environment turns the foreign function interface off', () => {
    vi.stubEnv(NO_FFI_VARIABLE, '1')
    expect(loadOpenSsl()).toBeUndefined()
    vi.unstubAllEnvs()
    expect(loadOpenSsl()).toBe(openSsl)
  })

  it.runIf(libc)('is found wherever functions of the C library are', () => {
    expect(openSsl).toBeDefined()
  })

  it.runIf(openSsl)('gives back what it held for a cipher that is not used any more', async () => {
    const freeContext = vi.fn((context: CipherContext) => openSsl!.freeContext(context))
    for (let made = 0; made < 10; made++) frameCipher(key, { ...openSsl!, freeContext })
    setFlagsFromString('--expose-gc')
    const collect = runInNewContext('gc') as () => void
    await vi.waitFor(() => {
      collect()
      expect(freeContext.mock.calls.length).toBeGreaterThanOrEqual(9)
    })
  })

  const refusing = (call: keyof OpenSsl): OpenSsl => ({ ...openSsl!, [call]: () => (call === 'newContext' ? null : 0) })

  it.runIf(openSsl).each(['newContext', 'init', 'authenticate', 'update', 'getTag'] as const)(
    'that refuses %s is an error, never a frame in the clear',
    (call) => {
      const bytes = PLAIN.slice()
      expect(() => frameCipher(key, refusing(call)).seal(NONCE, ASSOCIATED, bytes)).toThrow('of OpenSSL failed')
    },
  )
})
