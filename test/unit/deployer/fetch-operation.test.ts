import { writeFileSync } from 'node:fs'
import { setImmediate as turn } from 'node:timers/promises'
import { expect, it } from 'vitest'
import { parseCluster, type DeployerEvent } from '../../../src/deployer/index.ts'
import { fetchBases } from '../../../src/deployer/fetch-operation.ts'
import type { HostAgent } from '../../../src/deployer/host-agent.ts'
import type { StepRequest } from '../../../src/deployer/host-protocol.ts'
import type { ClusterRecord, Storage } from '../../../src/deployer/storage/storage.ts'
import { SkilfishError } from '../../../src/errors.ts'
import { useTemporaryFolder } from '../io/temporary-folder.ts'

const at = useTemporaryFolder()

const failure = (text: string): SkilfishError => new SkilfishError('HOST_FAILED', text)

interface Fakes {
  readonly vmCount?: number
  readonly transfer?: object
  /** Of each host, `host1` and so on; a machine each. Default: it has the base. */
  readonly step?: (host: string, request: StepRequest) => object
  /** Throws when a machine's image is not to be used. */
  readonly require?: (vm: string) => void
  readonly clusterRecord?: ClusterRecord
}

/** A fetch for hosts and a storage that are only told of. */
async function fetched({ vmCount = 2, transfer = {}, ...fakes }: Fakes) {
  const names = Array.from({ length: vmCount }, (_, index) => index + 1)
  const description = {
    cluster: 'c',
    storage: { template: `file:${at('template')}` },
    transfer: { interface: 'lo', group: '239.192.86.1:21999', ...transfer },
    hosts: names.map((name) => ({ name: `host${name}` })),
    vms: names.map((name) => ({ name: `vm${name}`, host: `host${name}` })),
  }
  const plan = parseCluster(JSON.stringify(description), 'the test')
  const steps: (StepRequest & { readonly host: string })[] = []
  const events: DeployerEvent[] = []
  const agent = (host: string): HostAgent =>
    ({
      plan: { folder: '/h' },
      run: async (request: StepRequest) => {
        await turn()
        steps.push({ ...request, host })
        return fakes.step?.(host, request) ?? (request.step === 'find-base' ? { path: '/b' } : { copiedBytes: 1 })
      },
    }) as unknown as HostAgent
  const storage = {
    template: () => Promise.resolve({ source: at('template') }),
    clusterRecord: () => Promise.resolve(fakes.clusterRecord ?? {}),
    uniqueRanges: () => Promise.resolve([]),
    remoteImage: () => Promise.resolve({ driver: 'rbd' }),
  } as unknown as Storage
  const { signal } = new AbortController()
  const base = { key: 'b', identity: 'b 1', sizeBytes: 4096 }
  const record = { id: '1', cluster: 'c', template: 'b 1', generation: 1 }
  const vms = plan.vms.map((vm) => ({ ...vm, record }))
  const outcome: unknown = await fetchBases({
    require: ({ name }) => {
      fakes.require?.(name)
      return record
    },
    ...{ plan, storage, vms, base, agent, signal, emit: (event) => events.push(event) },
    hooks: () => ({ signal, onProgress: () => undefined }),
  }).catch((error: unknown) => error)
  return { outcome, steps, events }
}

it('a host that cannot be asked whether it has the template keeps no other from it', async () => {
  const { outcome, steps, events } = await fetched({
    step: (host, { step }) => {
      if (host === 'host1') throw failure('cannot run ssh host1')
      return step === 'find-base' ? { path: '/b' } : { copiedBytes: 1 }
    },
  })
  expect(steps.filter(({ step }) => step === 'fetch-unique')).toMatchObject([{ host: 'host2', vm: 'vm2' }])
  expect(outcome).toMatchObject({
    code: 'CLUSTER_FAILED',
    message: 'cannot fetch 1 of 3:\n  host1: cannot run ssh host1',
    parts: [{ name: 'host1', error: {} }, { name: 'host2' }, { name: 'vm2', result: { copiedBytes: 1 } }],
  })
  expect(events.filter(({ kind }) => kind === 'failed')).toMatchObject([
    { host: 'host1', text: 'cannot run ssh host1' },
  ])
})

it('a machine whose image is not to be used keeps no other from what it alone has', async () => {
  const { outcome } = await fetched({
    require: (vm) => {
      if (vm === 'vm1') throw failure('another template')
    },
  })
  expect(outcome).toMatchObject({ message: 'cannot fetch 1 of 4:\n  vm1: another template' })
  expect((outcome as { parts: object[] }).parts.at(-1)).toMatchObject({ name: 'vm2', result: { copiedBytes: 1 } })
})

it.each([
  ['of the description', {}, 4_000_000],
  ['that was set', { maxBitrate: 8_000_000 }, 500_000],
  ['that was lifted', { maxBitrate: null }, 0],
])('goes by the cap %s', async (_, clusterRecord, bytesPerSec) => {
  const { steps } = await fetched({ transfer: { maxBitrate: '64M' }, clusterRecord })
  expect(steps.filter(({ step }) => step === 'fetch-unique')).toMatchObject([{ bytesPerSec }, { bytesPerSec }])
})

it('draws a key for each session, the same for all hosts, unless the description has one', async () => {
  writeFileSync(at('template'), Buffer.alloc(4096))
  const keysOf = async (transfer: object): Promise<(string | undefined)[]> => {
    const { steps } = await fetched({
      transfer,
      step: (_, { step }) => {
        if (step === 'receive') throw failure('enough')
        return {}
      },
    })
    return steps.flatMap((request) => (request.step === 'receive' ? [request.freshKey] : []))
  }
  const keys = [...(await keysOf({})), ...(await keysOf({}))]
  for (const key of keys) expect(key).toMatch(/^[0-9a-f]{64}$/)
  expect(keys[0]).toBe(keys[1])
  expect(keys[2]).toBe(keys[3])
  expect(keys[0]).not.toBe(keys[2])
  writeFileSync(at('key'), `skilfish group key 1\nkey ${'0'.repeat(64)}\n`, { mode: 0o600 })
  expect(await keysOf({ keyFile: at('key') })).toEqual([undefined, undefined])
})
