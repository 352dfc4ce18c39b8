import { createCipheriv, createDecipheriv, type CipherGCM, type DecipherGCM, type KeyObject } from 'node:crypto'
import { FRAME_TAG_BYTES } from '../protocol/index.ts'
import type { CipherContext, OpenSsl } from './openssl.ts'

const ALGORITHM = 'aes-256-gcm'

/** What the cipher of Node.js is given at a time, bytes: results that are copied at once die young. Ours. */
const PIECE_BYTES = 32_768

/** AES-256-GCM under one key, on bytes where they lie. */
export interface FrameCipher {
  /**
   * Encrypts.
   * @param nonce 12 bytes, never the same for two different messages
   * @returns the tag, 16 bytes
   */
  seal(nonce: Uint8Array, associated: Uint8Array, bytes: Uint8Array): Uint8Array
  /**
   * Decrypts.
   * @returns false when the tag is wrong: then `bytes` are of no use
   */
  open(nonce: Uint8Array, associated: Uint8Array, bytes: Uint8Array, tag: Uint8Array): boolean
}

/** @param openSsl how OpenSSL is called without a detour, where it can be */
export const frameCipher = (key: KeyObject, openSsl: OpenSsl | undefined): FrameCipher =>
  openSsl === undefined ? new NodeCipher(key) : new OpenSslCipher(key, openSsl)

/** By `node:crypto`, which puts each result into memory of its own. */
class NodeCipher implements FrameCipher {
  readonly #key: KeyObject

  constructor(key: KeyObject) {
    this.#key = key
  }

  seal(nonce: Uint8Array, associated: Uint8Array, bytes: Uint8Array): Uint8Array {
    const cipher = createCipheriv(ALGORITHM, this.#key, nonce)
    cipher.setAAD(associated)
    updateInPlace(cipher, bytes)
    cipher.final()
    return cipher.getAuthTag()
  }

  open(nonce: Uint8Array, associated: Uint8Array, bytes: Uint8Array, tag: Uint8Array): boolean {
    const decipher = createDecipheriv(ALGORITHM, this.#key, nonce, { authTagLength: FRAME_TAG_BYTES })
    decipher.setAAD(associated)
    decipher.setAuthTag(tag)
    updateInPlace(decipher, bytes)
    try {
      decipher.final()
      return true
    } catch {
      return false
    }
  }
}

/** A stream cipher gives as many bytes as it takes. */
function updateInPlace(cipher: CipherGCM | DecipherGCM, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length; at += PIECE_BYTES) {
    bytes.set(cipher.update(bytes.subarray(at, at + PIECE_BYTES)), at)
  }
}

/** Gives back what OpenSSL holds for ciphers that nobody refers to any more. */
const registry = new FinalizationRegistry<() => void>((free) => free())

/** By the same functions of OpenSSL, called on our own memory. OpenSSL alone keeps the key. */
class OpenSslCipher implements FrameCipher {
  readonly #openSsl: OpenSsl
  readonly #context: CipherContext

  constructor(key: KeyObject, openSsl: OpenSsl) {
    const context = openSsl.newContext()
    if (context === null) throw new Error('EVP_CIPHER_CTX_new of OpenSSL failed')
    registry.register(this, () => openSsl.freeContext(context))
    this.#openSsl = openSsl
    this.#context = context
    const bytes = key.export()
    must('EVP_CipherInit_ex', openSsl.init(context, true, bytes, null))
    bytes.fill(0)
  }

  seal(nonce: Uint8Array, associated: Uint8Array, bytes: Uint8Array): Uint8Array {
    const tag = new Uint8Array(FRAME_TAG_BYTES)
    this.#begin(true, nonce, associated, bytes)
    must('EVP_CipherFinal_ex', this.#openSsl.final(this.#context))
    must('EVP_CIPHER_CTX_ctrl', this.#openSsl.getTag(this.#context, tag))
    return tag
  }

  open(nonce: Uint8Array, associated: Uint8Array, bytes: Uint8Array, tag: Uint8Array): boolean {
    this.#begin(false, nonce, associated, bytes)
    must('EVP_CIPHER_CTX_ctrl', this.#openSsl.setTag(this.#context, tag))
    return this.#openSsl.final(this.#context) === 1
  }

  #begin(isEncrypting: boolean, nonce: Uint8Array, associated: Uint8Array, bytes: Uint8Array): void {
    must('EVP_CipherInit_ex', this.#openSsl.init(this.#context, isEncrypting, null, nonce))
    must('EVP_CipherUpdate', this.#openSsl.authenticate(this.#context, associated))
    must('EVP_CipherUpdate', this.#openSsl.update(this.#context, bytes))
  }
}

function must(call: string, result: number): void {
  if (result !== 1) throw new Error(`${call} of OpenSSL failed`)
}
