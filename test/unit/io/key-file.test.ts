import { chmodSync, existsSync, mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import { createKeyFile, readKeyFile } from '../../../src/io/index.ts'
import { expectFailure } from './expect-failure.ts'
import { useTemporaryFolder } from './temporary-folder.ts'

const at = useTemporaryFolder()

it('a secret key file is made with mode 0600 whatever the umask, and read again', async () => {
  const before = process.umask(0)
  try {
    await createKeyFile(at('key'), 'text', 'secret')
  } finally {
    process.umask(before)
  }
  expect(statSync(at('key')).mode & 0o777).toBe(0o600)
  expect(await readKeyFile(at('key'), 'secret')).toBe('text')
})

it('nothing is overwritten, not even what a dangling link leads to', async () => {
  writeFileSync(at('key'), 'old')
  symlinkSync(at('nowhere'), at('link'))
  await expectFailure(createKeyFile(at('key'), 'new', 'secret'), 'KEY_EXISTS', 'is not overwritten')
  await expectFailure(createKeyFile(at('link'), 'new', 'secret'), 'KEY_EXISTS', 'is not overwritten')
  expect(readFileSync(at('key'), 'utf8')).toBe('old')
  expect(existsSync(at('nowhere'))).toBe(false)
})

it.each([0o640, 0o604, 0o660, 0o610, 0o602, 0o644, 0o777])('a secret file of mode %o is refused', async (mode) => {
  writeFileSync(at('key'), 'text')
  chmodSync(at('key'), mode)
  await expectFailure(readKeyFile(at('key'), 'secret'), 'KEY_EXPOSED', `its mode is 0${mode.toString(8)}`)
})

it.each([0o600, 0o400, 0o700])('a secret file of mode %o is read', async (mode) => {
  writeFileSync(at('key'), 'text')
  chmodSync(at('key'), mode)
  expect(await readKeyFile(at('key'), 'secret')).toBe('text')
})

it('a public key where a secret one belongs is read: it is not its mode that is wrong', async () => {
  const armour = '-----BEGIN PUBLIC KEY-----\n'
  writeFileSync(at('key.pub'), armour)
  expect(await readKeyFile(at('key.pub'), 'secret')).toBe(armour)
  writeFileSync(at('both'), `${armour}-----BEGIN PRIVATE KEY-----`)
  await expectFailure(readKeyFile(at('both'), 'secret'), 'KEY_EXPOSED', 'its mode is 0644')
})

it('a public file may be open to all', async () => {
  await createKeyFile(at('key.pub'), 'text', 'public')
  chmodSync(at('key.pub'), 0o666)
  expect(await readKeyFile(at('key.pub'), 'public')).toBe('text')
})

it('what is not there, no file or too long is refused', async () => {
  mkdirSync(at('folder'))
  writeFileSync(at('long'), 'x'.repeat(16_385), { mode: 0o600 })
  await expectFailure(readKeyFile(at('none'), 'secret'), 'KEY_UNREADABLE', 'skilfish-keygen makes one')
  await expectFailure(readKeyFile(at('folder'), 'secret'), 'KEY_UNREADABLE', 'it is not a regular file')
  await expectFailure(readKeyFile(at('long'), 'secret'), 'KEY_INVALID', 'a key file has at most 16384')
  await expectFailure(createKeyFile(at('none/key'), 'x', 'secret'), 'KEY_UNWRITABLE', ': no such file or directory')
})
