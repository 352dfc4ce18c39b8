export { createKeyText, createPassphraseText, groupKeyOf, parseGroupKey } from './group-key.ts'
export { createSigningTexts, parseSigningKey, parseVerifyingKey } from './signing-key.ts'
