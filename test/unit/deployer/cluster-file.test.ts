import { Ajv } from 'ajv'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { CLUSTER_SCHEMA, parseCluster } from '../../../src/deployer/index.ts'
import { SkilfishError } from '../../../src/errors.ts'

const ROOT = join(import.meta.dirname, '../../..')

const parse = (text: string): ReturnType<typeof parseCluster> => parseCluster(text, 'c.yaml')

const faultOf = (text: string): string => {
  try {
    parse(text)
  } catch (error) {
    if (error instanceof SkilfishError) return error.message
    throw error
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
    [
      SMALL.replace('file:/t.raw', 'rbd:pool/image'),
      'line 3, column 13: storage.template must be rbd:[POOL/[NAMESPACE/]]IMAGE@SNAPSHOT, or file:/PATH without commas, got "rbd:pool/image"',
    ],
    [`${SMALL}    memoryMiB: 4\n`, 'line 6, column 16: vms.0.memoryMiB must be >= 16'],
    [`${SMALL}    memory: 4\n`, 'line 6, column'],
    [`${SMALL}    memory: 4\n`, 'vms.0 has memory, which is unknown'],
    [`${SMALL}    accelerator: xen\n`, 'vms.0.accelerator must be one of auto, kvm, tcg'],
    [`${SMALL}    host: z\n`, 'line 6, column 11: a is to run on z, which is not among the hosts'],
    [`${SMALL}  - name: a\n`, 'line 6, column 11: two virtual machines have the name a'],
    [`${SMALL}hosts: [{name: n}, {name: n}]\n`, 'line 6, column 27: two hosts have the name n'],
    [`${SMALL}    qemu: ''\n`, 'line 6, column 11: vms.0.qemu must be one character or more, none of them NUL, got ""'],
    [`${SMALL}    arguments: ["a\\0b"]\n`, 'vms.0.arguments.0 must be one character or more, none of them NUL'],
    [`${SMALL}hosts: [{name: n, through: ['']}]\n`, 'hosts.0.through.0 must be one character or more'],
    [`${SMALL}hosts: [{name: n, program: ['']}]\n`, 'hosts.0.program.0 must be one character or more'],
    [`${SMALL}transfer: {sender: n}\n`, 'line 6, column 20: n is to send, and is not among the hosts'],
    [
      `${SMALL}hosts: [{name: n}]\ntransfer: {sender: n}\n`,
      'line 7, column 20: n is to send a file of this machine; only a template in Ceph can be sent by a host',
    ],
    [
      `${SMALL}  - name: a/b\n`,
      'vms.1.name must be 1 to 40 letters, digits, dots, underscores and hyphens, the first a letter or digit, got "a/b"',
    ],
    [
      `${SMALL}transfer:\n  maxBitrate: fast\n`,
      'line 7, column 15: transfer.maxBitrate: cannot use the bit rate "fast"',
    ],
    [
      `${SMALL}transfer: {maxBitrate: '100'}\n`,
      'line 6, column 24: transfer.maxBitrate: cannot use the bit rate "100"',
    ],
    [
      `${SMALL}transfer:\n  group: 1.2.3.4\n`,
      'line 7, column 10: transfer.group: cannot use "1.2.3.4" as the group: 1.2.3.4 is not a multicast address',
    ],
    [`${SMALL}transfer: {group: '239.1.1.1:0'}\n`, 'line 6, column 19: transfer.group: cannot use "239.1.1.1:0"'],
    ['', 'the description must be object'],
    ['cluster: *nothing', 'Unresolved alias (the anchor must be set before the alias): nothing'],
    [`${SMALL}---\nmore`, 'a second document begins; one is wanted'],
  ])('%j is refused', (text, fault) => {
    expect(faultOf(text)).toContain(fault)
  })

  it('takes changes, one after the other, and may be made of them alone', () => {
    const changes = ['cluster=c', 'storage.template=file:/t.raw', 'vms=[{name: a}, {name: b, cpus: 2}]', 'vms.0.cpus=3']
    const plan = parseCluster('', 'the test', changes)
    expect(plan.storage).toEqual({ template: 'file:/t.raw' })
    expect(plan.vms.map(({ name, hardware }) => [name, hardware.cpus])).toEqual([
      ['a', 3],
      ['b', 2],
    ])
    const changed = parseCluster(`${SMALL}    memoryMiB: 64\n`, 'the test', ['vms.0.memoryMiB=128', 'transfer.ttl=4'])
    expect([changed.vms[0]!.hardware.memoryMiB, changed.transfer.ttl]).toEqual([128, 4])
  })

  it.each([
    ['vms.0.cpus=none', 'set vms.0.cpus: vms.0.cpus must be integer'],
    ['transfer.group=1.2.3.4', 'set transfer.group: transfer.group: cannot use "1.2.3.4" as the group'],
    ['vms=[{name: b, host: z}]', 'set vms: b is to run on z, which is not among the hosts'],
    ['vms.0.cpu=1', 'set vms.0.cpu: vms.0 has cpu, which is unknown'],
    ['vms.5.name=x', 'vms is a list of 1 entry, counted from 0; vms.1 adds one'],
    ['hosts.5.name=x', 'there is no list hosts yet; hosts.0 begins one'],
    ['vms.a.name=x', 'vms is a list of 1 entry; name one by its number, from 0'],
    ['vms', 'cannot set "vms" in the description of a cluster: expected PATH=VALUE'],
    ['cluster=[', 'cannot set "cluster=["'],
    ['cluster=*a', 'cannot set "cluster=*a" in the description of a cluster: Unresolved alias'],
    ['extra..name=1', 'set extra..name: the description has extra, which is unknown'],
    ['cluster.name=x', 'the description has a value, and nothing in it, on the way there'],
    ['__proto__.cluster=x', 'set __proto__.cluster: the description has __proto__, which is unknown'],
  ])('the change %j is refused', (change, fault) => {
    expect(() => parseCluster(SMALL, 'the test', [change])).toThrow(fault)
  })

  it('is what the published schema says', () => {
    const published = readFileSync(join(ROOT, 'schemas/cluster.schema.json'), 'utf8')
    expect(JSON.parse(published)).toEqual(CLUSTER_SCHEMA)
    expect(new Ajv({ strict: false }).validateSchema(CLUSTER_SCHEMA)).toBe(true)
  })

  it.each(readdirSync(join(ROOT, 'examples')).filter((name) => name.endsWith('.yaml')))(
    'examples/%s is one',
    (name) => {
      expect(parseCluster(readFileSync(join(ROOT, 'examples', name), 'utf8'), name).vms.length).toBeGreaterThan(1)
    },
  )
})
