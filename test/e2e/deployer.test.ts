import { spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { getPriority } from 'node:os'
import { join } from 'node:path'
import { expect, it, vi } from 'vitest'
import { AGENT_VERSION } from '../../src/deployer/index.ts'
import { openSource } from '../../src/io/index.ts'
import { messages, Program, start, useFolder } from './programs.ts'

const at = useFolder()

const TEMPLATE_BYTES = 4 * 1024 * 1024
const GROUP = `239.192.85.${1 + (process.pid % 250)}:21500`

/** A template of noise. @returns its path */
function makeTemplate(): string {
  const path = at('template.raw')
  if (!existsSync(path)) writeFileSync(path, randomBytes(TEMPLATE_BYTES))
  return path
}

/** A cluster on this machine. What needs no QEMU works everywhere. */
function skilfish(command: string | readonly string[], ...changes: readonly string[]): Program {
  const description = {
    cluster: 'test',
    storage: { template: `file:${makeTemplate()}` },
    transfer: { interface: 'lo', group: GROUP, maxBitrate: '1M' },
    hosts: [{ name: 'local', interface: 'lo', folder: at('host') }],
    vms: [{ name: 'vm1' }],
  }
  // JSON is YAML too.
  writeFileSync(at('cluster.yaml'), JSON.stringify(description))
  return start('skilfish', [...[command].flat(), ...changes.flatMap((change) => ['--set', change]), at('cluster.yaml')])
}

it('Ctrl-C ends a fetch with its own status, and gives the cluster back', async () => {
  const program = skilfish('fetch')
  await program.says('fetch, ')
  program.process.kill('SIGINT')
  const { status, stderr } = await program.ended
  expect(status).toBe(130)
  expect(stderr).toContain('skilfish: fetch was interrupted\n')
  expect(existsSync(at('template.raw.skilfish'))).toBe(false)
})

it.runIf(process.platform === 'linux')(
  'what a deployer does while machines run gives way to all else, with every thread and on every host',
  async () => {
    const receiving = {
      ...{ step: 'receive', folder: at('host'), base: { key: 'template', identity: 'none', sizeBytes: 4096 } },
      place: { interface: 'lo', group: '239.192.85.251:21501' },
    }
    // Until the socket of a QEMU that does not run is closed: it greets nobody.
    const vm = at('host/vms/test/vm1')
    mkdirSync(vm, { recursive: true })
    const qemu = createServer().listen(join(vm, 'qmp.sock'))
    writeFileSync(join(vm, 'qemu.pid'), String(pretend(join(vm, 'qmp.sock'))))
    const asking = { step: 'shutdown', folder: at('host'), cluster: 'test', vm: 'vm1', timeoutMs: 0 }
    for (const program of [skilfish('fetch'), host(receiving), host(asking)]) {
      await vi.waitFor(() => expect(new Set(niceValues(program.process.pid!))).toEqual(new Set([10])), {
        timeout: 8000,
      })
      program.process.kill('SIGKILL')
      await program.ended
    }
    qemu.close()
  },
)

it.runIf(process.platform === 'linux')('machines that a host boots do not give way', async () => {
  const vm = at('host/vms/test/vm1')
  // Of a step that was killed.
  mkdirSync(join(vm, 'd-left'), { recursive: true })
  writeFileSync(join(vm, 'overlay.qcow2'), '')
  writeFileSync(join(vm, 'vm.json'), '{"image":"i","template":"none","generation":0,"sizeBytes":4096,"base":"remote"}')
  writeFileSync(at('qemu'), '#!/bin/sh\necho "nice value $(nice)" >&2\nexit 1\n', { mode: 0o755 })
  const { ended } = host({
    ...{ step: 'boot', folder: at('host'), cluster: 'test', vm: 'vm1', image: 'i', generation: 0, sizeBytes: 4096 },
    ...{ remote: { driver: 'file', filename: at('template.raw') } },
    base: { key: 'template', identity: 'none', sizeBytes: 4096 },
    hardware: { qemu: at('qemu'), accelerator: 'tcg', memoryMiB: 128, cpus: 1, arguments: [] },
  })
  expect((await ended).stdout.toString()).toContain(`it says: nice value ${getPriority()}`)
  expect(existsSync(join(vm, 'd-left'))).toBe(false)
})

it('a host takes a request with as many ranges as there may be', async () => {
  const ranges = Array.from({ length: 1024 * 1024 }, (_, index) => ({
    offset: 2 ** 40 + index * 65_536,
    lengthBytes: 65_536,
  }))
  const { ended } = host({
    ...{ step: 'fetch-unique', folder: at('host'), cluster: 'test', vm: 'vm1', generation: 1, bytesPerSec: 0, ranges },
    ...{ base: { key: 'template', identity: 'none', sizeBytes: 4096 }, remote: { driver: 'null-co' } },
  })
  expect((await ended).stdout.toString()).toContain('"code":"BASE_UNFIT"')
})

it('a host that sends is told of another cap, and follows, also when it is told at once', async () => {
  writeFileSync(at('template.raw'), randomBytes(4 * 1024 * 1024))
  const { mtimeNs, ino } = statSync(at('template.raw'), { bigint: true })
  const identity = `template.raw ${4 * 1024 * 1024} ${mtimeNs} ${ino}`
  const base = { key: 'template', identity, sizeBytes: 4 * 1024 * 1024 }
  const place = { interface: 'lo', group: `239.192.84.${1 + (process.pid % 250)}:21503` }
  const shared = { base, place, freshKey: '1f'.repeat(32) }
  const receiver = host({ step: 'receive', folder: at('host'), ...shared })
  const other = host({
    step: 'send',
    source: at('template.raw'),
    ...shared,
    base: { ...base, identity: 'other' },
    receiverCount: 1,
  })
  expect(messages((await other.ended).stdout, 'error')).toMatchObject([{ code: 'SOURCE_CHANGED' }])
  // 4 MiB would take more than five minutes.
  const sender = host({ step: 'send', source: at('template.raw'), ...shared, receiverCount: 1, maxBitrate: 100_000 })
  sender.process.stdin!.write('{"maxBitrate":20000}\n')
  await sender.says('"type":"progress"')
  sender.process.stdin!.write('what is no order\n\n{"maxBitrate":null}\n')
  const sent = messages((await sender.ended).stdout, 'result')
  expect(sent).toMatchObject([{ result: { wireBytes: expect.any(Number) as number } }])
  expect(messages((await receiver.ended).stdout, 'result')).toMatchObject([
    { result: { path: at('host/bases/template.raw') } },
  ])
})

/** A host that is asked for a step. */
function host(request: object): Program {
  const program = start('skilfish', ['host'])
  program.process.stdin!.write(`${JSON.stringify({ version: AGENT_VERSION, request })}\n`)
  return program
}

/** A process that has a word on its command line, as QEMU has its socket. @returns its process id */
function pretend(word: string): number {
  const { process: pretender } = new Program(process.execPath, ['-e', 'setInterval(() => undefined, 1000)', word])
  return pretender.pid!
}

/** Of each thread: the nineteenth field of its `stat`, counted behind the name in brackets (proc_pid_stat(5)). */
function niceValues(processId: number): number[] {
  const threads = readdirSync(`/proc/${processId}/task`)
  const stats = threads.map((thread) => readFileSync(`/proc/${processId}/task/${thread}/stat`, 'utf8'))
  return stats.map((stat) => Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[16]))
}

it('a host begins a step without loading what only deployers and transfers need', async () => {
  const host = start('skilfish', ['host'], { env: { ...process.env, NODE_V8_COVERAGE: at('coverage') } })
  host.process.stdin!.end('{}\n')
  expect((await host.ended).stdout.toString()).toContain('only a deployer calls skilfish host')
  const [file] = readdirSync(at('coverage'))
  const { result } = JSON.parse(readFileSync(at('coverage', file!), 'utf8')) as {
    result: { url: string; functions: { functionName: string; ranges: [{ count: number }] }[] }[]
  }
  const { functions } = result.find(({ url }) => url.endsWith('host-program.js'))!
  // A package's module is a function of its path.
  const modules = functions.filter(({ functionName }) => functionName.startsWith('node_modules/'))
  expect(modules.length).toBeGreaterThan(0)
  expect(modules.filter(({ ranges: [whole] }) => whole.count > 0)).toEqual([])
})

it('a description that cannot be read is told in words of its own', async () => {
  const told = async (path: string, how = {}): Promise<string> => {
    const { status, stderr } = await start('skilfish', ['status', path], how).ended
    expect(status).toBe(2)
    return stderr
  }
  const remedy = '  Name a file that describes a cluster, and that this user may read\n'
  expect(await told(at('none.yaml'))).toBe(`skilfish: cannot read ${at('none.yaml')}: it does not exist\n${remedy}`)
  expect(await told(at())).toBe(`skilfish: cannot read ${at()}: it is a folder\n${remedy}`)
  writeFileSync(at('secret.yaml'), 'cluster: c', { mode: 0o000 })
  const nobody = process.getuid?.() === 0 ? { uid: 65_534, gid: 65_534 } : {}
  const denied = `skilfish: cannot read ${at('secret.yaml')}: permission denied\n${remedy}`
  expect(await told(at('secret.yaml'), nobody)).toBe(denied)
})

it.each([
  [`transfer.keyFile=${join(import.meta.dirname, 'none.key')}`, 2, 'it does not exist; skilfish-keygen makes one'],
  ['transfer.interface=nowhere0', 6, 'cannot use the interface "nowhere0"'],
  ['transfer.group=1.2.3.4', 2, 'set transfer.group: transfer.group: cannot use "1.2.3.4" as the group'],
])('up makes nothing when fetch could not be done: %s', async (change, status, text) => {
  const ended = await skilfish('up', change).ended
  expect(ended.status).toBe(status)
  expect(ended.stderr).toContain(text)
  expect([existsSync(at('template.raw.skilfish')), existsSync(at('host'))]).toEqual([false, false])
})

it('Ctrl-C ends a command that waits for its description', async () => {
  const program = start('skilfish', ['status', '-'])
  await program.catchesSignals()
  program.process.kill('SIGINT')
  expect(await program.ended).toMatchObject({ status: 130 })
})

it('a command waits for the lease of one that was killed on this host', async () => {
  const killed = skilfish('fetch')
  await killed.says('fetch, ')
  killed.process.kill('SIGKILL')
  await killed.ended
  const next = skilfish('fetch')
  await next.says(/fetch of all: \S+ ended without giving the cluster back, .*; going on in \d+ s\n/)
  next.process.kill('SIGINT')
  expect(await next.ended).toMatchObject({ status: 130 })
  expect(existsSync(at('template.raw.skilfish/test/lease'))).toBe(true)
})

it.runIf(spawnSync('qemu-img', ['--version']).status === 0)(
  'a machine is made and destroyed, and nothing is left beside the template',
  async () => {
    for (const command of ['create', 'destroy']) expect(await skilfish(command).ended).toMatchObject({ status: 0 })
    expect(existsSync(at('template.raw.skilfish'))).toBe(false)
  },
)

it('a host whose folder cannot be had is told as a failure of that host', async () => {
  writeFileSync(at('file'), '')
  const { status, stderr } = await skilfish('fetch', `hosts.0.folder=${at('file/folder')}`).ended
  expect(status).toBe(4)
  expect(stderr).toContain('\n  local: cannot do the step receive: a part of the path is not a folder at ')
  expect(stderr).not.toContain('ENOTDIR')
  expect(stderr).not.toContain('fault in the program')
})

it('a host that cannot be reached keeps no other from the template', async () => {
  const hosts = `hosts=[{name: local, interface: lo, folder: ${at('host')}}, {name: lost, through: ['false']}]`
  const vms = 'vms=[{name: vm1, host: local}, {name: vm2, host: lost}]'
  const { status, stderr } = await skilfish('fetch', hosts, vms, 'transfer.maxBitrate=100M').ended
  expect(status).toBe(4)
  expect(stderr).toContain('cannot fetch 1 of 2:\n  lost: cannot run false skilfish host: ')
  expect(receivedBase().equals(readFileSync(at('template.raw')))).toBe(true)
})

it('a stranger who sends under the identity of the template is not heard', async () => {
  const source = await openSource(makeTemplate())
  await source.close?.()
  writeFileSync(at('forged'), randomBytes(TEMPLATE_BYTES))
  const stranger = start('send', ['--interface', 'lo', '--group', GROUP, '--image-id', source.identity!, at('forged')])
  await stranger.says('waiting')
  expect(await skilfish('fetch', 'transfer.maxBitrate=100M').ended).toMatchObject({ status: 0 })
  expect(receivedBase().equals(readFileSync(at('template.raw')))).toBe(true)
  stranger.process.kill('SIGINT')
  expect(await stranger.ended).toMatchObject({ status: 130 })
})

/** What the host has received. */
function receivedBase(): Buffer {
  const bases = at('host/bases')
  return readFileSync(
    join(
      bases,
      readdirSync(bases).find((name) => name.endsWith('.raw'))!,
    ),
  )
}

it('a storage that cannot be written is told as such', async () => {
  writeFileSync(at('template.raw.skilfish'), '')
  const create = await skilfish('create').ended
  expect(create.status).toBe(5)
  expect(create.stderr).toContain(`skilfish: cannot make ${at('template.raw.skilfish/test')}: `)
  const cap = await skilfish(['fetch', '--set-max-bitrate', '5M']).ended
  expect(cap.stderr).toContain(`skilfish: cannot write ${at('template.raw.skilfish/test/_cluster.json')}: `)
})

it('no cap is kept for a storage that is not there', async () => {
  const { status } = await skilfish(['fetch', '--set-max-bitrate', '5M'], `storage.template=file:${at('no/template')}`)
    .ended
  expect(status).toBe(5)
  expect(existsSync(at('no'))).toBe(false)
})

it('a machine that is named twice is worked at once', async () => {
  const { stdout } = await skilfish(['status', '--json', '--vms', 'vm1,vm1']).ended
  expect(messages(stdout, 'result')).toMatchObject([{ results: [{ vm: 'vm1' }] }])
})

it('a machine is not abandoned on a host that answers, whatever it answers', async () => {
  mkdirSync(at('template.raw.skilfish/test'), { recursive: true })
  writeFileSync(at('template.raw.skilfish/test/vm1.qcow2'), '')
  const record = '{"id":"1","cluster":"test","template":"t","generation":1,"host":"local"}'
  writeFileSync(at('template.raw.skilfish/test/vm1.json'), record)
  const answer = '{"type":"error","code":"HOST_FAILED","message":"skilfish here speaks version 2 of requests"}'
  writeFileSync(at('old'), `#!/bin/sh\necho '${answer}'\n`, { mode: 0o755 })
  const refused = await skilfish(['abandon', '--vms', 'vm1'], `hosts.0.program=[${at('old')}]`).ended
  expect([refused.status, refused.stderr.includes('speaks version 2')]).toEqual([4, true])
  expect(readFileSync(at('template.raw.skilfish/test/vm1.json'), 'utf8')).toBe(record)
  const lost = await skilfish(['abandon', '--vms', 'vm1'], 'hosts.0.program=["false"]').ended
  expect([lost.status, lost.stderr.includes('local is taken for lost')]).toEqual([0, true])
  expect(readFileSync(at('template.raw.skilfish/test/vm1.json'), 'utf8')).not.toContain('host')
})

it('a machine without an image does not keep others from their switch', async () => {
  mkdirSync(at('template.raw.skilfish/test'), { recursive: true })
  writeFileSync(at('template.raw.skilfish/test/vm1.qcow2'), '')
  writeFileSync(at('template.raw.skilfish/test/vm1.json'), '{"cluster":"test","template":"another","generation":0}')
  const { status, stderr } = await skilfish('switch', 'vms=[{name: vm1}, {name: vm2}]').ended
  expect(status).toBe(4)
  expect(stderr).toContain('\n  vm1: cannot work at vm1: its image was made of another template than ')
  expect(stderr).toContain('\n  vm2: cannot work at vm2: it has no image in the storage; create it first\n')
})
