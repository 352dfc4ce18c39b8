import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { COMMAND_ENVIRONMENT, missingPackages, runCommand, type Packages } from './command.ts'
import type { DeployerHosts, WayToHosts } from './deployer-hosts.ts'

const PACKAGES: Packages = { 'openssh-server': ['sshd'], 'openssh-client': ['ssh', 'ssh-keygen'] }

/** How long a server may take to listen, milliseconds. */
const START_TIMEOUT_MS = 10_000

/**
 * Lets commands run on the hosts by ssh from this machine, as root, with the environment's PATH of this process: `ssh -F CONFIG {host}`.
 * Mind that ssh hands its arguments, joined by spaces, to a shell. The servers end with the hosts.
 * @throws Error that names what is missing, or tells of a server that does not listen
 */
export async function startSsh(hosts: DeployerHosts): Promise<WayToHosts> {
  const missing = missingPackages(PACKAGES)
  if (missing.length > 0) throw new Error(`Hosts with ssh need ${missing.join('; ')}`)
  const folder = mkdtempSync(join(tmpdir(), 'skilfish-ssh-'))
  const path = (name: string): string => join(folder, name)
  const remove = (): void => rmSync(folder, { recursive: true, force: true })
  try {
    for (const key of ['host', 'user']) runCommand('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', path(key)])
    writeFileSync(path('sshd_config'), serverConfiguration(folder))
    writeFileSync(path('ssh_config'), clientConfiguration(folder, hosts))
    // Where sshd puts those that have not yet logged in; Debian's service makes it at each start.
    mkdirSync('/run/sshd', { recursive: true })
    for (const [index, { ipv4 }] of hosts.hosts.entries()) {
      // It wants to be started by its whole path, and goes to the background by itself.
      hosts.lab.run(index + 1, '/usr/sbin/sshd', ['-f', path('sshd_config'), '-E', path(`log-${index}`)])
      await listens(ipv4, 22)
    }
    const pairs = hosts.hosts.map(({ name }) => `${name} ${runCommand('cat', [path('host.pub')])}`)
    writeFileSync(path('known_hosts'), pairs.join(''))
    return { through: ['ssh', '-F', path('ssh_config'), '{host}'], remove }
  } catch (error) {
    remove()
    throw error
  }
}

const serverConfiguration = (folder: string): string => `HostKey ${folder}/host
PidFile none
AuthorizedKeysFile ${folder}/user.pub
AuthenticationMethods publickey
PermitRootLogin prohibit-password
UsePAM no
# The folder is below one that everybody may write to.
StrictModes no
SetEnv PATH=${COMMAND_ENVIRONMENT['PATH'] ?? ''}
`

const clientConfiguration = (folder: string, { hosts }: DeployerHosts): string => `${hosts
  .map(({ name, ipv4 }) => `Host ${name}\n  HostName ${ipv4}\n  HostKeyAlias ${name}\n`)
  .join('')}Host *
  User root
  IdentityFile ${folder}/user
  IdentitiesOnly yes
  UserKnownHostsFile ${folder}/known_hosts
  GlobalKnownHostsFile none
  StrictHostKeyChecking yes
  BatchMode yes
  LogLevel ERROR
`

async function listens(address: string, port: number): Promise<void> {
  const deadlineMs = performance.now() + START_TIMEOUT_MS
  const isOpen = (): Promise<boolean> =>
    new Promise((resolve) => {
      const socket = connect(port, address, () => end(true)).on('error', () => end(false))
      const end = (result: boolean): void => {
        socket.destroy()
        resolve(result)
      }
    })
  while (!(await isOpen())) {
    if (performance.now() > deadlineMs) throw new Error(`The server at ${address} does not listen`)
    await delay(20)
  }
}
