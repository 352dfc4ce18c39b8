import { expect, it } from 'vitest'
import { DeployView, resultOf } from '../../../src/cli/deploy-view.ts'
import type { FetchResult, Part } from '../../../src/deployer/index.ts'

const FAILED: Part<never> = {
  ...{ name: 'vm1', host: 'host1', elapsedMs: 3 },
  error: { code: 'RBD_UNREACHABLE', message: 'the cluster does not answer' },
}
const DONE: Part<object> = { name: 'vm2', host: 'host2', elapsedMs: 1200, result: { isNew: true } }

it('of an operation that failed for some is who, the reasons being told elsewhere', () => {
  expect(resultOf('create', [FAILED, DONE]).summary).toEqual([
    '     host   time',
    'vm1  host1  3 ms   failed',
    'vm2  host2  1.2 s',
  ])
})

it('of a status that failed is who too', () => {
  const { raw, summary } = resultOf('status', [FAILED])
  expect(raw).toEqual({ operation: 'status', results: [FAILED] })
  expect(summary).toEqual(['     host   time', 'vm1  host1  3 ms  failed'])
})

it('of machines is a row each, under the name of the operation that was asked for', () => {
  const { raw, summary } = resultOf('up', [{ vm: 'vm1', host: 'host1', state: 'running', base: 'local' }])
  expect(raw).toMatchObject({ operation: 'up' })
  expect(summary).toEqual([
    'machine  host   state    base   generation  changed',
    'vm1      host1  running  local  no image',
  ])
})

it('of a fetch counts hosts', () => {
  const host = (name: string, isCached: boolean): FetchResult['hosts'][number] => ({
    ...{ name, host: name, elapsedMs: 5 },
    result: { isCached },
  })
  const fetched = { multicastBytes: 1024, hosts: [host('a', false), host('b', true)], vms: [] }
  expect(resultOf('fetch', fetched).summary).toEqual(['1 host received the template, 1 KiB on the wire; 1 had it'])
})

it('of a status shows what is noted, and nothing of its course', () => {
  const lines: string[] = []
  const ignore = (): void => undefined
  const log = (line: string): void => void lines.push(line)
  const output = { log, note: log, progress: ignore, result: ignore, fail: ignore, close: () => Promise.resolve() }
  const view = new DeployView(output)
  view.show({ operation: 'status', vm: 'vm1', host: 'host1', kind: 'begun' })
  view.show({ operation: 'status', kind: 'note', text: 'the template is gone' })
  expect(lines).toEqual(['status of all: the template is gone'])
})
