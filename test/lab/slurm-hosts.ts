import { randomBytes } from 'node:crypto'
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { availableParallelism, hostname, tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { missingPackages, runCommand, type Packages } from './command.ts'
import type { DeployerHosts, WayToHosts } from './deployer-hosts.ts'
import type { LabHost } from './lab.ts'

const PACKAGES: Packages = {
  ...{ slurmctld: ['slurmctld'], slurmd: ['slurmd'], 'slurm-client': ['srun', 'sinfo'], munge: ['munged'] },
}

/** How long the nodes may take until they can be used, milliseconds. */
const START_TIMEOUT_MS = 30_000

/**
 * Makes a Slurm cluster of the hosts, which ends with them: slurmctld and munged on the storage's host, slurmd on the others. Commands
 * are run from this machine, as root, by `srun -w {host}`. What a command leaves running when it ends stays: processes are told apart
 * by their parents (`linuxproc`), not by control groups, as tests may not have those.
 * @throws Error that names what is missing, or tells of nodes that do not come up
 */
export async function startSlurm(hosts: DeployerHosts): Promise<WayToHosts> {
  const missing = missingPackages(PACKAGES)
  if (missing.length > 0) throw new Error(`Hosts with Slurm need ${missing.join('; ')}`)
  const folder = mkdtempSync(join(tmpdir(), 'skilfish-slurm-'))
  const path = (name: string): string => join(folder, name)
  const remove = (): void => rmSync(folder, { recursive: true, force: true })
  try {
    chmodSync(folder, 0o755)
    for (const name of ['state', 'log', 'munge']) mkdirSync(path(name))
    writeFileSync(path('munge.key'), randomBytes(1024), { mode: 0o600 })
    writeFileSync(path('slurm.conf'), configuration(folder, hosts))
    writeFileSync(path('cgroup.conf'), 'CgroupPlugin=cgroup/v1\n')
    const [storage, ...nodes] = hosts.lab.hosts
    const key = ['--key-file', path('munge.key'), '--socket', path('munge/socket'), '--seed-file', path('munge/seed')]
    const files = ['--pid-file', path('munge/pid'), '--log-file', path('log/munged')]
    // It is forced as the folder is below one that everybody may write to.
    runOn(storage!, 'munged', ['--force', ...key, ...files])
    runOn(storage!, 'slurmctld', ['-f', path('slurm.conf')])
    for (const [index, node] of nodes.entries())
      runOn(node, 'slurmd', ['-f', path('slurm.conf'), '-N', hosts.hosts[index]!.name])
    const conf = ['env', `SLURM_CONF=${path('slurm.conf')}`]
    await allIdle(conf, hosts.hosts.length)
    return { through: [...conf, 'srun', '-w', '{host}', '-N1', '-n1'], remove }
  } catch (error) {
    const said = runCommand('sh', ['-c', 'tail -n 5 "$1"/log/*', 'sh', folder])
    remove()
    throw new Error(`Slurm does not start\n${said}`, { cause: error })
  }
}

/** Starts a daemon, which goes to the background. slurmd wants /sys/fs/cgroup, which `ip netns exec` would hide. */
function runOn({ namespace }: LabHost, command: string, args: readonly string[]): void {
  runCommand('nsenter', [`--net=/run/netns/${namespace}`, command, ...args])
}

async function allIdle(conf: readonly string[], hostCount: number): Promise<void> {
  const deadlineMs = performance.now() + START_TIMEOUT_MS
  for (;;) {
    const states = runCommand(conf[0]!, [...conf.slice(1), 'sinfo', '-h', '-N', '-o', '%T']).split('\n')
    if (states.filter((state) => state === 'idle').length === hostCount) return
    if (performance.now() > deadlineMs) throw new Error(`The nodes are ${states.join(' ')}`)
    await delay(50)
  }
}

const configuration = (folder: string, { hosts, storage }: DeployerHosts): string => `ClusterName=lab
SlurmctldHost=${hostname()}(${storage.ipv4})
AuthType=auth/munge
AuthInfo=socket=${folder}/munge/socket
CredType=cred/munge
SlurmUser=root
StateSaveLocation=${folder}/state
SlurmdSpoolDir=${folder}/spool-%n
SlurmctldPidFile=${folder}/slurmctld.pid
SlurmdPidFile=${folder}/slurmd-%n.pid
SlurmctldLogFile=${folder}/log/slurmctld
SlurmdLogFile=${folder}/log/%n
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
MpiDefault=none
TreeWidth=65533
PartitionName=all Nodes=ALL Default=YES State=UP OverSubscribe=FORCE:8
${hosts
  .map(
    ({ name, ipv4 }, index) =>
      `NodeName=${name} NodeHostname=${hostname()} NodeAddr=${ipv4} Port=${17_001 + index} CPUs=${availableParallelism()}\n`,
  )
  .join('')}`
