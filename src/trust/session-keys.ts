import { createHmac, createSecretKey, hkdfSync, type KeyObject } from 'node:crypto'
import type { Id64 } from '../protocol/index.ts'

/** What each key of a session is for. */
const PURPOSES = {
  frames: 'skilfish 1 frames',
  fromSender: 'skilfish 1 control from sender',
  fromReceivers: 'skilfish 1 control from receivers',
  packetHash: 'skilfish 1 packet hash',
  packetPads: 'skilfish 1 packet pads',
  rootDigest: 'skilfish 1 root digest',
} as const

type Purpose = keyof typeof PURPOSES

const KEY_BYTES = 32

/** The session's id as eight bytes, big-endian. */
export function sessionBytes(session: Id64): Uint8Array {
  const bytes = new Uint8Array(8)
  const view = new DataView(bytes.buffer)
  view.setUint32(0, session.high)
  view.setUint32(4, session.low)
  return bytes
}

/** The keys of one session, one for each purpose: HKDF-SHA-256 (RFC 5869) of the group key, with the session's id for a salt. Made on demand. */
export class SessionKeys {
  readonly #groupKey: KeyObject
  readonly #salt: Uint8Array
  readonly #keys = new Map<Purpose, KeyObject>()

  constructor(groupKey: KeyObject, session: Id64) {
    this.#groupKey = groupKey
    this.#salt = sessionBytes(session)
  }

  get(purpose: Purpose): KeyObject {
    let key = this.#keys.get(purpose)
    if (key === undefined) {
      const bytes = hkdfSync('sha256', this.#groupKey, this.#salt, PURPOSES[purpose], KEY_BYTES)
      key = createSecretKey(new Uint8Array(bytes))
      this.#keys.set(purpose, key)
    }
    return key
  }
}

/** A digest that only holders of the group key can compare: HMAC-SHA-256, 32 bytes. Without one it stays as it is. */
export const blindDigest = (keys: SessionKeys | undefined, digest: Uint8Array): Uint8Array =>
  keys === undefined ? digest : createHmac('sha256', keys.get('rootDigest')).update(digest).digest()
