import type { KeyObject } from 'node:crypto'
import { readKeyFile } from '../io/index.ts'
import type { Id64, SenderTrust, TrustMode } from '../protocol/index.ts'
import { hasTag, signatureOf, tagOf } from './control-seal.ts'
import { frameCipher } from './frame-cipher.ts'
import { FrameSealer } from './frame-seal.ts'
import { loadGroupKey } from './group-key.ts'
import { loadOpenSsl, type OpenSsl } from './openssl.ts'
import { NhPacketGuard } from './packet-guard.ts'
import { blindDigest, SessionKeys } from './session-keys.ts'
import { parseSigningKey } from './signing-key.ts'

/** What protects one session at its sender. */
export interface SenderSession {
  /** For the machine; left out: the session is open. */
  readonly trust?: SenderTrust
  /** For the frames; left out with `trust`. */
  readonly sealer?: FrameSealer
  /** The root digest as End tells it: to a stranger it must not tell which image this is. */
  rootDigest(plain: Uint8Array): Uint8Array
}

/** The keys that a sender was given. */
export class SenderKeys implements TrustMode {
  readonly #groupKey: KeyObject | undefined
  readonly #openSsl: OpenSsl | undefined
  readonly #signKey: KeyObject | undefined

  /** @param openSsl for the frames of keyed sessions, where it is to be had: faster than `node:crypto`, which does as well */
  constructor(groupKey?: KeyObject, signKey?: KeyObject, openSsl?: OpenSsl) {
    this.#openSsl = openSsl
    this.#groupKey = groupKey
    this.#signKey = signKey
  }

  /**
   * Reads the keys that the options name.
   * @throws SkilfishError KEY_UNREADABLE, KEY_EXPOSED, KEY_INVALID
   */
  static async load(options: {
    readonly key?: string | Uint8Array | undefined
    readonly signKey?: string | KeyObject | undefined
  }): Promise<SenderKeys> {
    const { signKey } = options
    const signer =
      typeof signKey === 'string' ? parseSigningKey(signKey, await readKeyFile(signKey, 'secret')) : signKey
    const groupKey = await loadGroupKey(options.key)
    return new SenderKeys(groupKey, signer, groupKey && loadOpenSsl())
  }

  get isKeyed(): boolean {
    return this.#groupKey !== undefined
  }

  get isSigned(): boolean {
    return this.#signKey !== undefined
  }

  /** @param session drawn for this run of the sender alone: no two sessions under one key may have the same */
  open(session: Id64, imageId: string): SenderSession {
    const [signKey, { isKeyed, isSigned }] = [this.#signKey, this]
    if (!isKeyed && !isSigned) return { rootDigest: (plain) => plain }
    const keys = this.#groupKey && new SessionKeys(this.#groupKey, session)
    const cipher = keys && frameCipher(keys.get('frames'), this.#openSsl)
    return {
      sealer: new FrameSealer({ session, imageId, cipher, signKey }),
      trust: {
        ...{ isKeyed, isSigned },
        ...(signKey && { sign: (bytes) => signatureOf(signKey, bytes) }),
        ...(keys && {
          tag: (bytes) => tagOf(keys.get('fromSender'), bytes),
          hasTag: (bytes, tag) => hasTag(keys.get('fromReceivers'), bytes, tag),
          guard: new NhPacketGuard(keys.get('packetHash'), keys.get('packetPads')),
        }),
      },
      rootDigest: (plain) => blindDigest(keys, plain),
    }
  }
}
