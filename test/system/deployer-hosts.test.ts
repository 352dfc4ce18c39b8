import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, expect, it } from 'vitest'
import { COMMAND_ENVIRONMENT, runCommand } from '../lab/command.ts'
import { DeployerHosts, type DeployerHostsOptions } from '../lab/deployer-hosts.ts'
import { startSlurm } from '../lab/slurm-hosts.ts'
import { startSsh } from '../lab/ssh-hosts.ts'

const cleanUps: (() => void)[] = []
afterEach(() => {
  for (const cleanUp of cleanUps.splice(0).reverse()) cleanUp()
})

function up(options: DeployerHostsOptions): DeployerHosts {
  const hosts = DeployerHosts.up(options)
  cleanUps.push(() => hosts.down())
  return hosts
}

interface Ended {
  readonly status: number | null
  readonly stdout: string
  readonly stderr: string
}

/** Runs a command to its end on a host; without a prefix on this machine. */
function run(through: readonly string[], host: string, args: readonly string[], input = ''): Ended {
  const [command, ...rest] = [...through.map((word) => word.replace('{host}', host)), ...args]
  const { status, stdout, stderr } = spawnSync(command!, rest, { input, encoding: 'utf8', env: COMMAND_ENVIRONMENT })
  return { status, stdout, stderr }
}

/** Each host says its own address, repeats its input, and ends with a status of its own. */
function expectAllToAnswer(
  hosts: DeployerHosts,
  through: readonly string[],
  shell: (script: string) => readonly string[],
): void {
  for (const [index, { name, ipv4 }] of hosts.hosts.entries()) {
    const script = `ip -4 -o addr show eth0 | grep -o '10[.0-9]*/'; cat; echo no >&2; exit ${index + 3}`
    const { status, stdout, stderr } = run(through, name, shell(script), 'input')
    expect({ status, stdout }).toEqual({ status: index + 3, stdout: `${ipv4}/\ninput` })
    // srun adds a line of its own.
    expect(stderr).toMatch(/^no$/m)
  }
}

const shellArguments = (script: string): readonly string[] => ['sh', '-c', script]

/** A port that nobody listens on is refused by a host that can be reached. */
function expectToReach(through: readonly string[], from: string, address: string): void {
  const { stderr } = run(through, from, ['timeout', '5', 'bash', '-c', `: >/dev/tcp/${address}/9`])
  expect(stderr).toContain('Connection refused')
}

it('builds hosts with disks of their own, which this machine reaches', () => {
  const hosts = up({ hostCount: 2, diskBytes: 8 * 1024 ** 2 })
  expectAllToAnswer(hosts, hosts.through, shellArguments)
  const [one, other] = hosts.hosts
  for (const { ipv4 } of [hosts.storage, one!, other!]) expectToReach([], '', ipv4)
  for (const { ipv4 } of [hosts.storage, other!, hosts.machine]) expectToReach(hosts.through, one!.name, ipv4)
  expect(() => writeFileSync(join(one!.folder, 'large'), Buffer.alloc(9 * 1024 ** 2))).toThrow('ENOSPC')
  writeFileSync(join(other!.folder, 'small'), 'there is room')
})

it('gives several labs at once networks of their own, and leaves nothing', () => {
  const two = [up({ hostCount: 1 }), up({ hostCount: 1 })]
  for (const { hosts } of two) expectToReach([], '', hosts[0]!.ipv4)
  for (const hosts of two) hosts.down()
  const left = runCommand('ip', ['-br', 'link'])
  for (const { machine } of two) expect(left).not.toContain(machine.interfaceName)
})

it('runs commands on hosts by ssh', async () => {
  const hosts = up({ hostCount: 2 })
  const ssh = await startSsh(hosts)
  cleanUps.push(ssh.remove)
  expectAllToAnswer(hosts, ssh.through, (script) => [script])
})

it('runs commands on hosts by srun', async () => {
  const hosts = up({ hostCount: 2 })
  const slurm = await startSlurm(hosts)
  cleanUps.push(slurm.remove)
  expectAllToAnswer(hosts, slurm.through, shellArguments)
})
