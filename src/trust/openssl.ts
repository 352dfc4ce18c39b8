import { boundOnce, type Ffi } from '../io/index.ts'

/** An `EVP_CIPHER_CTX *`. */
export type CipherContext = object

/**
 * AES-256-GCM of the OpenSSL that Node.js itself is linked with (symbols that it re-exports for addons: Node.js documentation, "C++ addons",
 * "Linking to libraries included with Node.js"). `node:crypto` works by the same functions, but puts each result into memory of its own.
 *
 * Those that return a number return 1 when all went well (OpenSSL, EVP_EncryptInit(3)).
 */
export interface OpenSsl {
  newContext(): CipherContext | null
  /** Wipes the key. */
  freeContext(context: CipherContext): void
  /** `key` (32 bytes) and `nonce` (12 bytes): null keeps what was set. */
  init(context: CipherContext, isEncrypting: boolean, key: Uint8Array | null, nonce: Uint8Array | null): number
  /** Takes associated data in, after `init`; at least one byte. */
  authenticate(context: CipherContext, bytes: Uint8Array): number
  /** Encrypts or decrypts bytes where they lie; at least one byte, fewer than 2^31. */
  update(context: CipherContext, bytes: Uint8Array): number
  /** Ends the message. Decrypting: anything but 1 says that the tag is wrong. */
  final(context: CipherContext): number
  /** Decrypting, before `final`: the tag to compare with, 16 bytes. */
  setTag(context: CipherContext, tag: Uint8Array): number
  /** Encrypting, after `final`: 16 bytes. */
  getTag(context: CipherContext, into: Uint8Array): number
}

// openssl/evp.h
const EVP_CTRL_AEAD_GET_TAG = 0x10
const EVP_CTRL_AEAD_SET_TAG = 0x11

/**
 * Binds the functions, once per process, on first use.
 *
 * @returns undefined, never an error, where there is no foreign function interface, or this Node.js does not export them.
 */
export const loadOpenSsl: () => OpenSsl | undefined = boundOnce(bindFunctions)

function bindFunctions(ffi: Ffi): OpenSsl {
  // The program itself and the libraries that it is linked with.
  const library = ffi.load(null)
  const newContext = library.func('void *EVP_CIPHER_CTX_new()') as () => CipherContext | null
  const freeContext = library.func('void EVP_CIPHER_CTX_free(void *context)') as (context: CipherContext) => void
  const cipher = (library.func('void *EVP_aes_256_gcm()') as () => object)()
  const init = library.func(
    'int EVP_CipherInit_ex(void *context, void *cipher, void *engine, const uint8_t *key, const uint8_t *nonce, int isEncrypting)',
  ) as (...args: [CipherContext, object | null, null, Uint8Array | null, Uint8Array | null, number]) => number
  const update = library.func(
    'int EVP_CipherUpdate(void *context, uint8_t *out, int *outBytes, const uint8_t *in, int inBytes)',
  ) as (...args: [CipherContext, Uint8Array | null, Int32Array, Uint8Array, number]) => number
  const final = library.func('int EVP_CipherFinal_ex(void *context, uint8_t *out, int *outBytes)') as (
    ...args: [CipherContext, Uint8Array, Int32Array]
  ) => number
  const control = library.func('int EVP_CIPHER_CTX_ctrl(void *context, int type, int number, uint8_t *pointer)') as (
    ...args: [CipherContext, number, number, Uint8Array]
  ) => number

  const outBytes = new Int32Array(1)
  // GCM has nothing left to write at the end; OpenSSL wants a place for it all the same.
  const rest = new Uint8Array(16)
  return {
    newContext,
    freeContext,
    init: (context, isEncrypting, key, nonce) =>
      init(context, key === null ? null : cipher, null, key, nonce, Number(isEncrypting)),
    authenticate: (context, bytes) => update(context, null, outBytes, bytes, bytes.length),
    update: (context, bytes) => update(context, bytes, outBytes, bytes, bytes.length),
    final: (context) => final(context, rest, outBytes),
    setTag: (context, tag) => control(context, EVP_CTRL_AEAD_SET_TAG, tag.length, tag),
    getTag: (context, into) => control(context, EVP_CTRL_AEAD_GET_TAG, into.length, into),
  }
}
