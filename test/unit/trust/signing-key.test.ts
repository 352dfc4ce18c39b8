import { generateKeyPairSync, sign, verify } from 'node:crypto'
import { expect, it } from 'vitest'
import { createSigningTexts, parseSigningKey, parseVerifyingKey } from '../../../src/trust/index.ts'

it('a pair of keys signs and verifies', () => {
  const { privateText, publicText } = createSigningTexts()
  const message = Buffer.from('message')
  const signature = sign(null, message, parseSigningKey('a', privateText))
  expect(verify(null, message, parseVerifyingKey('b', publicText), signature)).toBe(true)
  expect(verify(null, Buffer.from('massage'), parseVerifyingKey('b', publicText), signature)).toBe(false)
})

it('a private key is not taken to verify with, nor a public one to sign with', () => {
  const { privateText, publicText } = createSigningTexts()
  expect(() => parseVerifyingKey('golden.key', privateText)).toThrow('cannot use golden.key: it holds a private key')
  expect(() => parseSigningKey('golden.key.pub', publicText)).toThrow(
    'cannot use golden.key.pub: it holds a public key',
  )
})

it('keys of another kind, and what is no key, are refused', () => {
  const { privateKey, publicKey } = generateKeyPairSync('rsa', {
    ...{ modulusLength: 1024, publicExponent: 65_537 },
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
    publicKeyEncoding: { type: 'spki', format: 'pem' },
  })
  expect(() => parseSigningKey('x', privateKey)).toThrow('it is a key for rsa; it must hold an Ed25519 private key')
  expect(() => parseVerifyingKey('x', publicKey)).toThrow('it is a key for rsa; it must hold an Ed25519 public key')
  expect(() => parseVerifyingKey('x', 'ssh-ed25519 AAAA')).toThrow('it is none')
})

it('of what is no key OpenSSL is asked nothing, and text around a key does no harm', () => {
  const { privateText, publicText } = createSigningTexts()
  expect(parseSigningKey('x', `# ours\n${publicText}${privateText}`).asymmetricKeyType).toBe('ed25519')
  expect(parseVerifyingKey('x', publicText.replaceAll('\n', '\r\n')).asymmetricKeyType).toBe('ed25519')
  const damaged = [
    privateText.replace('PRIVATE', 'PIRVATE'),
    privateText.replace('-----END', '-----ENDE'),
    privateText.replace('MC4', 'MC8'),
    privateText.replace('MC4', '!C4'),
    privateText.replace('\n', '\nAAAA'),
    '-----BEGIN PRIVATE KEY-----\n'.repeat(500),
  ]
  for (const text of damaged) {
    // What OpenSSL refuses has its error for a cause.
    const refusal = expect.objectContaining({ code: 'KEY_INVALID', cause: undefined }) as Error
    expect(() => parseSigningKey('x', text)).toThrow(refusal)
  }
})

it('a private key behind a passphrase is told from what is no key', () => {
  const { privateKey } = generateKeyPairSync('ed25519', {
    privateKeyEncoding: { type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'x' },
    publicKeyEncoding: { type: 'spki', format: 'pem' },
  })
  expect(() => parseSigningKey('x', privateKey)).toThrow(
    'cannot use x: it is encrypted with a passphrase; it must hold',
  )
})
