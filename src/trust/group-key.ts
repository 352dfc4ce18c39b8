import { createSecretKey, randomBytes, scrypt, type KeyObject } from 'node:crypto'
import { SkilfishError } from '../errors.ts'
import { readKeyFile } from '../io/index.ts'

/** Bytes of a group key: an AES-256 key's worth of entropy. */
export const GROUP_KEY_BYTES = 32

/** First line of a group key file. */
const TITLE = 'skilfish group key 1'

/** What scrypt costs (RFC 7914): 128 · n · r bytes of memory, 128 MiB here, and some tenths of a second. */
const SCRYPT = { n: 131_072, r: 8, p: 1 } as const

/**
 * Bounds on what a file may ask of scrypt. Below, guessing gets too cheap (16,384 is RFC 7914's for interactive use); above, a file
 * could make its reader use more than 1 GiB.
 */
const LEAST_N = 16_384
const MOST_N = 1_048_576
const MOST_R = 8
const MOST_P = 4

const LEAST_SALT_BYTES = 16
const MOST_SALT_BYTES = 64

/** Fewest characters of a passphrase. Ours: a guard against an empty or mistyped one, not a measure of its strength. */
const LEAST_PASSPHRASE_LENGTH = 12

/** Longest passphrase of a file that we make, bytes: its file is far below what is read of one. */
const MOST_PASSPHRASE_BYTES = 1024

/** A group key file with a key drawn at random. */
export function createKeyText(): string {
  return `${TITLE}\nkey ${randomBytes(GROUP_KEY_BYTES).toString('hex')}\n`
}

/**
 * A group key file that holds a passphrase, and what turns it into the key: whoever has the passphrase can write the file anew.
 * @throws SkilfishError KEY_INVALID when the passphrase is too short or too long, or has control characters
 */
export function createPassphraseText(passphrase: string): string {
  requirePassphrase('the passphrase', passphrase)
  const bytes = Buffer.byteLength(passphrase)
  if (bytes > MOST_PASSPHRASE_BYTES) {
    const text = `cannot use the passphrase: it has ${bytes} bytes; it must have at most ${MOST_PASSPHRASE_BYTES}`
    throw new SkilfishError('KEY_INVALID', text)
  }
  const { n, r, p } = SCRYPT
  return `${TITLE}\nscrypt n=${n} r=${r} p=${p} salt=${randomBytes(LEAST_SALT_BYTES).toString('hex')}\npassphrase ${passphrase}\n`
}

/**
 * The key of a group key file: the line `skilfish group key 1`, then either `key` and 64 hexadecimal digits, or the lines `scrypt`
 * and `passphrase`. Empty lines and lines that begin with `#` are left out of account. Takes some tenths of a second with a passphrase.
 * @param label the file, for messages; what is in the file is never in a message
 * @throws SkilfishError KEY_INVALID
 */
export async function parseGroupKey(label: string, text: string): Promise<KeyObject> {
  const lines = text.split(/\r?\n/).filter((line) => line.trim() !== '' && !line.startsWith('#'))
  const [title, ...rest] = lines
  if (title?.trim() !== TITLE) throw invalid(label, `its first line must be "${TITLE}"`)
  const fields = new Map<string, string>()
  for (const line of rest) {
    const at = line.indexOf(' ')
    const name = at === -1 ? line : line.slice(0, at)
    if (fields.has(name)) throw invalid(label, `it has two lines "${clip(name)} …"`)
    if (!['key', 'scrypt', 'passphrase'].includes(name)) {
      throw invalid(label, `a line must begin with "key", "scrypt" or "passphrase"`)
    }
    fields.set(name, at === -1 ? '' : line.slice(at + 1))
  }
  const [key, parameters, passphrase] = ['key', 'scrypt', 'passphrase'].map((name) => fields.get(name))
  if (key !== undefined && fields.size === 1) return parseKey(label, key.trim())
  if (key === undefined && parameters !== undefined && passphrase !== undefined) {
    return deriveKey(label, parameters, passphrase)
  }
  throw invalid(label, 'it must have either a line "key …", or a line "scrypt …" and a line "passphrase …"')
}

/**
 * A key given as bytes.
 * @throws RangeError unless they are 32
 */
export function groupKeyOf(bytes: Uint8Array): KeyObject {
  if (bytes.length !== GROUP_KEY_BYTES)
    throw new RangeError(`key must have ${GROUP_KEY_BYTES} bytes, got ${bytes.length}`)
  return createSecretKey(bytes)
}

/**
 * A group key from its file, or from its 32 bytes.
 * @throws SkilfishError KEY_UNREADABLE, KEY_EXPOSED, KEY_INVALID
 */
export async function loadGroupKey(key: string | Uint8Array | undefined): Promise<KeyObject | undefined> {
  if (key === undefined) return undefined
  return typeof key === 'string' ? parseGroupKey(key, await readKeyFile(key, 'secret')) : groupKeyOf(key)
}

function parseKey(label: string, digits: string): KeyObject {
  if (!/^[0-9a-f]{64}$/i.test(digits)) throw invalid(label, '"key" must be followed by 64 hexadecimal digits')
  return createSecretKey(Buffer.from(digits, 'hex'))
}

async function deriveKey(label: string, parameters: string, passphrase: string): Promise<KeyObject> {
  requirePassphrase(`the passphrase in ${label}`, passphrase)
  const match = /^n=(\d{1,9}) r=(\d{1,3}) p=(\d{1,3}) salt=((?:[0-9a-f]{2}){1,256})$/i.exec(parameters.trim())
  const [n, r, p] = [match?.[1], match?.[2], match?.[3]].map(Number) as [number, number, number]
  const salt = Buffer.from(match?.[4] ?? '', 'hex')
  const isPower = Number.isInteger(Math.log2(n))
  if (!(isPower && n >= LEAST_N && n <= MOST_N && r >= 1 && r <= MOST_R && p >= 1 && p <= MOST_P)) {
    const wanted = `n a power of 2 from ${LEAST_N} to ${MOST_N}, r from 1 to ${MOST_R}, p from 1 to ${MOST_P}`
    throw invalid(label, `"scrypt" must be followed by "n=… r=… p=… salt=…" with ${wanted}`)
  }
  if (salt.length < LEAST_SALT_BYTES || salt.length > MOST_SALT_BYTES) {
    throw invalid(label, `its salt must be ${2 * LEAST_SALT_BYTES} to ${2 * MOST_SALT_BYTES} hexadecimal digits`)
  }
  const maxmem = 2 * 128 * n * r
  return new Promise((resolve, reject) => {
    // NFC, so that the same passphrase typed elsewhere is the same bytes.
    scrypt(passphrase.normalize('NFC'), salt, GROUP_KEY_BYTES, { N: n, r, p, maxmem }, (error, bytes) => {
      if (error === null) resolve(createSecretKey(bytes))
      else reject(error)
    })
  })
}

function requirePassphrase(what: string, passphrase: string): void {
  if (passphrase.length >= LEAST_PASSPHRASE_LENGTH && !/\p{Cc}/u.test(passphrase)) return
  const text = `cannot use ${what}: it must have at least ${LEAST_PASSPHRASE_LENGTH} characters and no control characters`
  throw new SkilfishError('KEY_INVALID', text)
}

/** A word that is shown must not be a key that stands in the wrong place. */
const clip = (text: string): string => text.slice(0, 10)

const invalid = (label: string, wanted: string): SkilfishError =>
  new SkilfishError('KEY_INVALID', `cannot use ${label} as a group key: ${wanted}`)
