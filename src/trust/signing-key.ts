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
export function parseSigningKey(label: string, text: string): KeyObject {
  const wanted = 'an Ed25519 private key in PEM'
  if (text.includes('BEGIN PUBLIC KEY') && !text.includes('PRIVATE KEY'))
    throw invalid(label, wanted, 'it holds a public key, which is for those who verify')
  return parse(label, wanted, text, / ?PRIVATE KEY$/, createPrivateKey)
}

/**
 * A key to verify with: a public key in PEM. A private key is refused, since it has no business where it is not signed with.
 * @param label the file, for messages
 * @throws SkilfishError KEY_INVALID
 */
export function parseVerifyingKey(label: string, text: string): KeyObject {
  const wanted = 'an Ed25519 public key in PEM'
  if (text.includes('PRIVATE KEY'))
    throw invalid(label, wanted, 'it holds a private key, which belongs to the sender alone')
  return parse(label, wanted, text, /^PUBLIC KEY$|^CERTIFICATE$/, createPublicKey)
}

function parse(
  label: string,
  wanted: string,
  text: string,
  kind: RegExp,
  read: (block: string) => KeyObject,
): KeyObject {
  // Of what it is given OpenSSL tries each format that it knows, at half a millisecond each time.
  const block = [...text.matchAll(PEM)].find(([, name = '', body = '']) => kind.test(name) && isSequence(body))
  if (block === undefined) throw invalid(label, wanted, 'it is none')
  if (block[1]!.startsWith('ENCRYPTED')) throw invalid(label, wanted, 'it is encrypted with a passphrase')
  let key: KeyObject
  try {
    key = read(block[0])
  } catch (cause) {
    throw invalid(label, wanted, 'it is none', cause)
  }
  if (key.asymmetricKeyType === 'ed25519') return key
  throw invalid(label, wanted, `it is a key for ${key.asymmetricKeyType ?? 'something else'}`)
}

/** Armour of RFC 7468, around base64. */
const PEM = /^-----BEGIN ([A-Z0-9 ]+)-----\s([A-Za-z0-9+/\s]+={0,2}\s*)-----END \1-----/gm

/** Whether base64 holds one SEQUENCE in DER (X.690), and nothing else: every kind of key is one. */
function isSequence(base64: string): boolean {
  const der = Buffer.from(base64, 'base64')
  const [tag = 0, first = 0] = der
  // Short form; or the number of bytes that hold the length.
  const count = first < 128 ? 0 : first - 128
  if (tag !== 0x30 || count > 3 || der.length < 2 + count) return false
  return der.length === 2 + count + (count === 0 ? first : der.readUIntBE(2, count))
}

const invalid = (label: string, wanted: string, found: string, cause?: unknown): SkilfishError =>
  new SkilfishError('KEY_INVALID', `cannot use ${label}: ${found}; it must hold ${wanted}`, { cause })
