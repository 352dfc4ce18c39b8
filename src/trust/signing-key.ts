import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto'
import { SkilfishError } from '../errors.ts'

/** A new Ed25519 pair (RFC 8032): the private key as PKCS #8 (RFC 5958), the public one as SubjectPublicKeyInfo (RFC 8410), both PEM. */
export function createSigningTexts(): { readonly privateText: string; readonly publicText: string } {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519', {
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
    publicKeyEncoding: { type: 'spki', format: 'pem' },
  })
  return { privateText: privateKey, publicText: publicKey }
}

/**
 * A key to sign with, from PEM as `skilfish-keygen` or `openssl genpkey -algorithm ed25519` write it.
 * @param label the file, for messages
 * @throws SkilfishError KEY_INVALID
 */
export const parseSigningKey = (label: string, text: string): KeyObject =>
  parse(label, 'an Ed25519 private key in PEM', () => createPrivateKey(text))

/**
 * A key to verify with: a public key in PEM. A private key is refused, since it has no business where it is not signed with.
 * @param label the file, for messages
 * @throws SkilfishError KEY_INVALID
 */
export function parseVerifyingKey(label: string, text: string): KeyObject {
  const wanted = 'an Ed25519 public key in PEM'
  if (text.includes('PRIVATE KEY'))
    throw invalid(label, wanted, 'it holds a private key, which belongs to the sender alone')
  return parse(label, wanted, () => createPublicKey(text))
}

function parse(label: string, wanted: string, read: () => KeyObject): KeyObject {
  let key: KeyObject
  try {
    key = read()
  } catch (cause) {
    throw invalid(label, wanted, 'it is none', cause)
  }
  if (key.asymmetricKeyType === 'ed25519') return key
  throw invalid(label, wanted, `it is a key for ${key.asymmetricKeyType ?? 'something else'}`)
}

const invalid = (label: string, wanted: string, found: string, cause?: unknown): SkilfishError =>
  new SkilfishError('KEY_INVALID', `cannot use ${label}: ${found}; it must hold ${wanted}`, { cause })
