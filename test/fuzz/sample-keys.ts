import { createPrivateKey, createPublicKey } from 'node:crypto'

// A private key of Ed25519 is any 32 bytes (RFC 8410, section 7); always the same, so that a run can be had again.
const der = Buffer.from(`302e020100300506032b657004220420${'5a'.repeat(32)}`, 'hex')
const privateKey = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' })

export const SIGN_KEY_TEXT: string = privateKey.export({ format: 'pem', type: 'pkcs8' }) as string
export const VERIFY_KEY_TEXT: string = createPublicKey(privateKey).export({ format: 'pem', type: 'spki' }) as string
