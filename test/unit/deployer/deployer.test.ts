import { expect, it } from 'vitest'
import { Deployer, parseCluster } from '../../../src/deployer/index.ts'

it('commits at least one machine at a time', () => {
  const plan = parseCluster('{cluster: c, storage: {template: "file:/t.raw"}, vms: [{name: a}]}', 'the test')
  expect(() => new Deployer(plan).commit({ atOnce: 0 })).toThrow(new RangeError('atOnce must be from 1 to 64, got 0'))
})
