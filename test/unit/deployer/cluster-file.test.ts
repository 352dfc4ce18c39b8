import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { CLUSTER_SCHEMA, parseCluster } from '../../../src/deployer/index.ts'

const ROOT = join(import.meta.dirname, '../../..')

const parse = (text: string): ReturnType<typeof parseCluster> => parseCluster(text, 'c.yaml')

const faultOf = (text: string): string => {
  try {
    parse(text)
  } catch (error) {
    return (error as Error).message
  }
  return 'none'
}

const SMALL = 'cluster: c\nstorage:\n  template: file:/t.raw\nvms:\n  - name: a\n'

describe('the description of a cluster', () => {
  it('has defaults: this machine, and QEMU with what it can', () => {
    const { hosts, vms, transfer } = parse(SMALL)
    expect(hosts).toEqual([
      { name: 'local', through: [], folder: '/var/lib/skilfish', program: undefined, interface: undefined },
    ])
    expect(vms).toEqual([
      {
        name: 'a',
        host: 'local',
        hardware: { qemu: 'qemu-system-x86_64', accelerator: 'auto', memoryMiB: 512, cpus: 1, arguments: [] },
      },
    ])
    expect(transfer).toEqual({})
  })

  it('takes defaults of hosts and machines, and puts the name into the way to the host', () => {
    const plan = parse(
      `${SMALL}hosts:\n  - name: n1\n  - name: n2\n    folder: /x\nhostDefaults:\n  through: [ssh, 'root@{host}']\n  folder: /y\ntransfer:\n  maxBitrate: 40MB/s\nvmDefaults:\n  cpus: 4\n`,
    )
    expect(plan.hosts.map(({ through, folder, program }) => [through, folder, program])).toEqual([
      [['ssh', 'root@n1'], '/y', ['skilfish']],
      [['ssh', 'root@n2'], '/x', ['skilfish']],
    ])
    expect(plan.transfer.maxBitrate).toBe(320_000_000)
    expect(plan.vms[0]).toMatchObject({ host: 'n1', hardware: { cpus: 4 } })
  })

  it.each([
    ['cluster: c\n  x: [', 'line 2, column'],
    ['cluster: c\n', "the description must have required property 'storage'"],
    [SMALL.replace('file:/t.raw', 'rbd:pool/image'), 'line 3, column 13: storage.template must match pattern'],
    [`${SMALL}    memoryMiB: 4\n`, 'line 6, column 16: vms.0.memoryMiB must be >= 16'],
    [`${SMALL}    memory: 4\n`, 'line 6, column'],
    [`${SMALL}    memory: 4\n`, 'vms.0 has memory, which is unknown'],
    [`${SMALL}    accelerator: xen\n`, 'vms.0.accelerator must be one of auto, kvm, tcg'],
    [`${SMALL}    host: z\n`, 'a is to run on z, which is not among the hosts'],
    [`${SMALL}  - name: a\n`, 'two virtual machines have the name a'],
    [`${SMALL}  - name: a/b\n`, 'vms.1.name must match pattern'],
    [`${SMALL}transfer:\n  maxBitrate: fast\n`, 'transfer.maxBitrate: cannot use the bit rate "fast"'],
    ['', 'the description must be object'],
  ])('%j is refused', (text, fault) => {
    expect(faultOf(text)).toContain(fault)
  })

  it('is what the published schema says', () => {
    const published = readFileSync(join(ROOT, 'schemas/cluster.schema.json'), 'utf8')
    expect(JSON.parse(published)).toEqual(CLUSTER_SCHEMA)
  })

  it.each(readdirSync(join(ROOT, 'examples')).filter((name) => name.endsWith('.yaml')))(
    'examples/%s is one',
    (name) => {
      expect(parseCluster(readFileSync(join(ROOT, 'examples', name), 'utf8'), name).vms.length).toBeGreaterThan(1)
    },
  )
})
