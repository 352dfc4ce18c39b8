export type { FrameSealer } from './frame-seal.ts'
export {
  GROUP_KEY_BYTES,
  createKeyText,
  createPassphraseText,
  groupKeyOf,
  loadGroupKey,
  parseGroupKey,
} from './group-key.ts'
export { NhPacketGuard } from './packet-guard.ts'
export { ReceiverKeys, type ReceiverSessionKeys } from './receiver-keys.ts'
export { SenderKeys, type SenderSession } from './sender-keys.ts'
export { createSigningTexts, parseSigningKey, parseVerifyingKey } from './signing-key.ts'
