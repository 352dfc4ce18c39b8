import { scryptSync } from 'node:crypto'
import { expect, it } from 'vitest'
import { SkilfishError } from '../../../src/errors.ts'
import { createKeyText, createPassphraseText, groupKeyOf, parseGroupKey } from '../../../src/trust/index.ts'

const parse = async (text: string): Promise<string> => (await parseGroupKey('group.key', text)).export().toString('hex')

/** The refusal of a text; it never repeats what may be a secret. */
async function refusal(text: string): Promise<string> {
  const error: unknown = await parse(text).then(
    () => undefined,
    (reason: unknown) => reason,
  )
  expect(error).toBeInstanceOf(SkilfishError)
  expect((error as SkilfishError).code).toBe('KEY_INVALID')
  return (error as SkilfishError).message
}

const TITLE = 'skilfish group key 1'
const DIGITS = '00112233445566778899aabbccddeeff'.repeat(2)
const SCRYPT = `scrypt n=16384 r=8 p=1 salt=${'5a'.repeat(16)}`

it('a key file made at random holds 32 bytes, different each time', async () => {
  const [one, other] = [await parse(createKeyText()), await parse(createKeyText())]
  expect(one).toHaveLength(64)
  expect(one).not.toBe(other)
})

it('a key file may have comments, empty lines and the line ends of Windows', async () => {
  expect(await parse(`# ours\n${TITLE}\r\n\r\n# 32 bytes\r\nkey ${DIGITS.toUpperCase()}\r\n`)).toBe(DIGITS)
})

it('a passphrase gives the key that scrypt makes of it with the salt and the costs in the file', async () => {
  const passphrase = 'correct horse battery staple'
  const expected = scryptSync(passphrase, Buffer.alloc(16, 0x5a), 32, { N: 16_384, r: 8, p: 1 }).toString('hex')
  expect(await parse(`${TITLE}\n${SCRYPT}\npassphrase ${passphrase}\n`)).toBe(expected)
})

it('a passphrase is the same key however its accents were typed', async () => {
  const [composed, combining] = ['p\u00e9ch\u00e9 mortel', 'pe\u0301che\u0301 mortel']
  expect(await parse(`${TITLE}\n${SCRYPT}\npassphrase ${composed}`)).toBe(
    await parse(`${TITLE}\n${SCRYPT}\npassphrase ${combining}`),
  )
})

it('a passphrase file made by us is read by us, with a salt of its own each time', async () => {
  const texts = [createPassphraseText('correct horse battery'), createPassphraseText('correct horse battery')]
  const [one, other] = await Promise.all(texts.map(parse))
  expect(one).toHaveLength(64)
  expect(one).not.toBe(other)
})

it.each([
  ['nothing', '', 'its first line must be "skilfish group key 1"'],
  ['another title', `skilfish group key 2\nkey ${DIGITS}`, 'its first line must be'],
  ['bare digits', DIGITS, 'its first line must be'],
  ['no key', TITLE, 'it must have either a line "key …"'],
  ['a short key', `${TITLE}\nkey ${DIGITS.slice(2)}`, '64 hexadecimal digits'],
  ['a key that is no number', `${TITLE}\nkey ${'x'.repeat(64)}`, '64 hexadecimal digits'],
  ['two keys', `${TITLE}\nkey ${DIGITS}\nkey ${DIGITS}`, 'it has two lines "key …"'],
  ['a key and a passphrase', `${TITLE}\nkey ${DIGITS}\n${SCRYPT}\npassphrase long enough now`, 'either'],
  ['an unknown line', `${TITLE}\nkey ${DIGITS}\n${DIGITS}`, 'a line must begin with'],
  ['a passphrase alone', `${TITLE}\npassphrase correct horse battery`, 'either'],
  ['a short passphrase', `${TITLE}\n${SCRYPT}\npassphrase swordfish`, 'at least 12 characters'],
  ['cheap scrypt', `${TITLE}\n${SCRYPT.replace('16384', '8192')}\npassphrase correct horse battery`, 'n a power of 2'],
  [
    'dear scrypt',
    `${TITLE}\n${SCRYPT.replace('16384', '2097152')}\npassphrase correct horse battery`,
    'n a power of 2',
  ],
  ['odd scrypt', `${TITLE}\n${SCRYPT.replace('16384', '20000')}\npassphrase correct horse battery`, 'n a power of 2'],
  ['wide scrypt', `${TITLE}\n${SCRYPT.replace('r=8', 'r=9')}\npassphrase correct horse battery`, 'r from 1 to 8'],
  ['long scrypt', `${TITLE}\n${SCRYPT.replace('p=1', 'p=5')}\npassphrase correct horse battery`, 'p from 1 to 4'],
  ['little salt', `${TITLE}\nscrypt n=16384 r=8 p=1 salt=5a5a\npassphrase correct horse battery`, 'its salt must be'],
])('a key file with %s is refused, and its content is not told', async (_what, text, wanted) => {
  const message = await refusal(text)
  expect(message).toContain(wanted)
  for (const secret of [DIGITS.slice(0, 16), 'correct horse', 'swordfish']) expect(message).not.toContain(secret)
})

it('a key given as bytes has 32 of them', () => {
  expect(groupKeyOf(Buffer.from(DIGITS, 'hex')).export().toString('hex')).toBe(DIGITS)
  expect(() => groupKeyOf(new Uint8Array(31))).toThrow(new RangeError('key must have 32 bytes, got 31'))
})

it('a passphrase to make a key file of is checked first', () => {
  expect(() => createPassphraseText('too short')).toThrow('at least 12 characters')
  expect(() => createPassphraseText('ä'.repeat(513))).toThrow('it has 1026 bytes; it must have at most 1024')
  expect(createPassphraseText('ä'.repeat(512))).toContain('ä'.repeat(512))
  expect(() => createPassphraseText('long enough\u0000 for it')).toThrow('no control characters')
})
