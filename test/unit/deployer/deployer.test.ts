import { readFileSync, writeFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import { Deployer, parseCluster, type DeployerEvent } from '../../../src/deployer/index.ts'
import { useTemporaryFolder } from '../io/temporary-folder.ts'

const at = useTemporaryFolder()

const plan = parseCluster('{cluster: c, storage: {template: "file:/t.raw"}, vms: [{name: a}]}', 'the test')

it('commits at least one machine at a time', () => {
  expect(() => new Deployer(plan).commit({ atOnce: 0 })).toThrow(new RangeError('atOnce must be from 1 to 64, got 0'))
})

it('refuses numbers that it cannot use before it looks at anything', async () => {
  const deployer = new Deployer(plan)
  expect(() => deployer.commit({ atOnce: 1.5 })).toThrow(
    new RangeError('atOnce must be a whole number from 1 to 64, got 1.5'),
  )
  expect(() => deployer.commit({ maxBitrate: 1 })).toThrow(/^maxBitrate must be from 10000 to /)
  expect(() => deployer.shutdown({ timeoutMs: NaN })).toThrow(/^timeoutMs must be from 0 to /)
  expect(() => deployer.evict(0.5)).toThrow(/^keepBytes must be a whole number from 0 to /)
  await expect(deployer.setMaxBitrate(-1)).rejects.toThrow(/^maxBitrate must be from 10000 to /)
})

it('tells in a status that the template is not to be had, and of the machines all the same', async () => {
  const events: DeployerEvent[] = []
  const views = await new Deployer(plan, { onEvent: (event) => events.push(event) }).status()
  const storageReason = expect.stringContaining('/t.raw') as string
  expect(views).toEqual([{ vm: 'a', host: 'local', state: 'down', storageReason }])
  const notes = events.filter(({ kind }) => kind === 'note').map(({ text }) => text)
  expect(notes).toEqual([expect.stringMatching(/^the template is not to be had: cannot open \/t\.raw: /)])
})

it('keeps that a cap was lifted, so that the one of the description does not come back', async () => {
  writeFileSync(at('t.raw'), 'template')
  const text = `{cluster: c, storage: {template: "file:${at('t.raw')}"}, vms: [{name: a}]}`
  await new Deployer(parseCluster(text, 'the test')).setMaxBitrate(undefined)
  expect(readFileSync(at('t.raw.skilfish/c/_cluster.json'), 'utf8')).toBe('{"maxBitrate":null}')
})
