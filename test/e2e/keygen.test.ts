import { execFileSync } from 'node:child_process'
import { readFileSync, statSync, writeFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import { start, useFolder } from './programs.ts'

const at = useFolder()

const modeOf = (path: string): number => statSync(path).mode & 0o777

it('skilfish-keygen makes a group key that only its owner can read', async () => {
  const { status, stderr } = await start('keygen', [at('group.key')]).ended
  expect(status).toBe(0)
  expect(stderr).toBe(`made ${at('group.key')}, for --key-file of the sender and of all receivers\n`)
  expect(readFileSync(at('group.key'), 'utf8')).toMatch(/^skilfish group key 1\nkey [0-9a-f]{64}\n$/)
  expect(modeOf(at('group.key'))).toBe(0o600)
})

it('skilfish-keygen never overwrites', async () => {
  writeFileSync(at('group.key'), 'mine')
  writeFileSync(at('golden.key.pub'), 'mine too')
  const group = await start('keygen', [at('group.key')]).ended
  expect(group.status).toBe(2)
  expect(group.stderr).toContain('it is there already, and is not overwritten')
  const pair = await start('keygen', ['--sign', at('golden.key')]).ended
  expect(pair.status).toBe(2)
  expect([readFileSync(at('group.key'), 'utf8'), readFileSync(at('golden.key.pub'), 'utf8')]).toEqual([
    'mine',
    'mine too',
  ])
  // Half a pair is of no use.
  expect(() => statSync(at('golden.key'))).toThrow('ENOENT')
})

it('skilfish-keygen makes a pair that openssl takes', async () => {
  expect(await start('keygen', ['--sign', '--quiet', at('golden.key')]).ended).toMatchObject({ status: 0, stderr: '' })
  expect([modeOf(at('golden.key')), modeOf(at('golden.key.pub')) & 0o600]).toEqual([0o600, 0o600])
  const derived = execFileSync('openssl', ['pkey', '-in', at('golden.key'), '-pubout'], { encoding: 'utf8' })
  expect(derived).toBe(readFileSync(at('golden.key.pub'), 'utf8'))
})

it('skilfish-keygen takes a passphrase from standard input', async () => {
  const program = start('keygen', ['--passphrase', at('group.key')])
  program.process.stdin?.end('correct horse battery staple\nnot this\n')
  expect(await program.ended).toMatchObject({ status: 0 })
  const text = readFileSync(at('group.key'), 'utf8')
  expect(text).toMatch(
    /^skilfish group key 1\nscrypt n=131072 r=8 p=1 salt=[0-9a-f]{32}\npassphrase correct horse battery staple\n$/,
  )
  expect(modeOf(at('group.key'))).toBe(0o600)

  const short = start('keygen', ['--passphrase', at('other.key')])
  short.process.stdin?.end('swordfish\n')
  expect(await short.ended).toMatchObject({ status: 2 })
  expect(() => statSync(at('other.key'))).toThrow('ENOENT')
})

it('skilfish-keygen ends by Ctrl-C while it waits for a passphrase', async () => {
  const program = start('keygen', ['--passphrase', at('group.key')])
  program.process.stdin?.write('half a line')
  await program.catchesSignals()
  program.process.kill('SIGINT')
  const { status, stderr } = await program.ended
  expect(status).toBe(130)
  expect(stderr).toContain('nothing was made')
  expect(() => statSync(at('group.key'))).toThrow('ENOENT')
})
