import { mkdirSync, readdirSync } from 'node:fs'
import { expect, it } from 'vitest'
import { start, useFolder } from './programs.ts'

const at = useFolder()

it('proves three copies identical, says what it took, and leaves nothing behind', async () => {
  mkdirSync(at('temporary'))
  const demo = start('demo', [], { env: { ...process.env, TMPDIR: at('temporary') } })
  const { status, stdout, stderr } = await demo.ended
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' })
  const text = stdout.toString()
  expect(text).toMatch(/\n {2}image +1 GiB\n {2}skipped as holes +\d+ MiB \(\d\d %\)\n/)
  expect(text).toMatch(/\n {2}repaired by parity +\d+ packets \(/)
  expect(text.match(/\n {2}receiver \d +identical; /g)).toHaveLength(3)
  expect(readdirSync(at('temporary'))).toEqual([])
})

it('cleans up after Ctrl-C in the middle of the transfer', async () => {
  mkdirSync(at('temporary'))
  const demo = start('demo', [], { env: { ...process.env, TMPDIR: at('temporary') } })
  await demo.says('Sending it')
  await demo.says('receiver 1')
  demo.process.kill('SIGINT')
  const { status, stdout } = await demo.ended
  expect(status).toBe(130)
  expect(stdout.toString()).toContain('the demo was interrupted')
  expect(readdirSync(at('temporary'))).toEqual([])
})

it('says where it cannot put its files', async () => {
  const { status, stdout } = await start('demo', [], { env: { ...process.env, TMPDIR: at('missing') } }).ended
  expect(status).toBe(5)
  expect(stdout.toString()).toContain(`skilfish-demo: cannot make a folder in ${at('missing')} (TMPDIR): `)
})
