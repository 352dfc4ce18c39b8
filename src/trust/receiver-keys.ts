import { createHmac, randomBytes, type KeyObject } from 'node:crypto'
import { readKeyFile } from '../io/index.ts'
import type { Id64, ReceiverSessionTrust, ReceiverTrust, TrustMode } from '../protocol/index.ts'
import { hasSignature, hasTag, tagOf } from './control-seal.ts'
import { frameCipher } from './frame-cipher.ts'
import { FrameOpener } from './frame-seal.ts'
import { loadGroupKey } from './group-key.ts'
import { loadOpenSsl, type OpenSsl } from './openssl.ts'
import { NhPacketGuard } from './packet-guard.ts'
import { blindDigest, SessionKeys, sessionBytes } from './session-keys.ts'
import { parseVerifyingKey } from './signing-key.ts'

/** What a receiver makes of the frames of one session. */
export interface ReceiverSessionKeys {
  /** Left out: frames are as they come. */
  readonly opener?: FrameOpener
  /** The root digest as End tells it. */
  rootDigest(plain: Uint8Array): Uint8Array
}

/** The keys that a receiver was given. */
export class ReceiverKeys {
  readonly #groupKey: KeyObject | undefined
  readonly #openSsl: OpenSsl | undefined
  readonly #verifyKey: KeyObject | undefined
  /** What nonces are made from, for this run alone. */
  readonly #secret = randomBytes(32)

  /** @param openSsl for the frames of keyed sessions, where it is to be had: faster than `node:crypto`, which does as well */
  constructor(groupKey?: KeyObject, verifyKey?: KeyObject, openSsl?: OpenSsl) {
    this.#openSsl = openSsl
    this.#groupKey = groupKey
    this.#verifyKey = verifyKey
  }

  /**
   * Reads the keys that the options name.
   * @throws SkilfishError KEY_UNREADABLE, KEY_EXPOSED, KEY_INVALID
   */
  static async load(options: {
    readonly key?: string | Uint8Array | undefined
    readonly verifyKey?: string | KeyObject | undefined
  }): Promise<ReceiverKeys> {
    const { verifyKey } = options
    const verifier =
      typeof verifyKey === 'string' ? parseVerifyingKey(verifyKey, await readKeyFile(verifyKey, 'public')) : verifyKey
    const groupKey = await loadGroupKey(options.key)
    return new ReceiverKeys(groupKey, verifier, groupKey && loadOpenSsl())
  }

  /** For the machine; undefined: it takes part in open sessions only. */
  get trust(): ReceiverTrust | undefined {
    const [isKeyed, isSigned] = [this.#groupKey !== undefined, this.#verifyKey !== undefined]
    if (!isKeyed && !isSigned) return undefined
    return {
      ...{ isKeyed, isSigned },
      open: (session) => this.#openControl(session),
      challenge: (session, epoch) => this.#challenge(session, epoch),
    }
  }

  /** @param mode that of the session */
  open(session: Id64, imageId: string, mode: TrustMode): ReceiverSessionKeys {
    const keys = this.#groupKey && new SessionKeys(this.#groupKey, session)
    const cipher = keys && frameCipher(keys.get('frames'), this.#openSsl)
    const { isSigned } = mode
    return {
      ...((keys !== undefined || isSigned) && {
        opener: new FrameOpener({ session, imageId, cipher, isSigned, verifyKey: this.#verifyKey }),
      }),
      rootDigest: (plain) => blindDigest(keys, plain),
    }
  }

  #openControl(session: Id64): ReceiverSessionTrust {
    const [keys, verifyKey] = [this.#groupKey && new SessionKeys(this.#groupKey, session), this.#verifyKey]
    return {
      ...(verifyKey && { hasSignature: (bytes, signature) => hasSignature(verifyKey, bytes, signature) }),
      ...(keys && {
        tag: (bytes) => tagOf(keys.get('fromReceivers'), bytes),
        hasTag: (bytes, tag) => hasTag(keys.get('fromSender'), bytes, tag),
        makeGuard: () => new NhPacketGuard(keys.get('packetHash'), keys.get('packetPads')),
      }),
    }
  }

  #challenge(session: Id64, epoch: number): Id64 {
    const hmac = createHmac('sha256', this.#secret).update(sessionBytes(session)).update(String(epoch)).digest()
    return { high: hmac.readUInt32BE(0), low: hmac.readUInt32BE(4) || 1 }
  }
}
