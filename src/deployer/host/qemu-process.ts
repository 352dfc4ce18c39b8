import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { SkilfishError } from '../../errors.ts'
import { QmpClient } from '../../qmp/index.ts'
import type { VmFolder } from './host-folder.ts'

/** How often it is looked whether a process has ended, milliseconds. */
const LOOK_MS = 50

/** The QEMU of a virtual machine: the process whose id its file holds, if that still is one that has the machine's socket on its command line. */
export async function findQemu(folder: VmFolder): Promise<number | undefined> {
  const pid = Number(await readFile(folder.pidFile, 'utf8').catch(() => ''))
  if (!Number.isSafeInteger(pid) || pid <= 0) return undefined
  const commandLine = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')
  return commandLine.includes(folder.qmpSocket) ? pid : undefined
}

/** How long QEMU may take to greet: it does not while it waits for requests to a storage that hangs, milliseconds. */
const GREETING_TIMEOUT_MS = 45_000

/** @throws SkilfishError VM_DOWN, and those of the connection */
export async function connectQemu(folder: VmFolder, name: string): Promise<{ qmp: QmpClient; pid: number }> {
  const pid = await findQemu(folder)
  if (pid === undefined) throw new SkilfishError('VM_DOWN', `cannot reach ${name}: no QEMU runs it; boot it first`)
  return { pid, qmp: await QmpClient.connect(folder.qmpSocket, { timeoutMs: GREETING_TIMEOUT_MS }) }
}

/** @returns whether it ended in time @throws the reason of the signal */
export async function waitForExit(pid: number, timeoutMs: number, signal?: AbortSignal): Promise<boolean> {
  const deadlineMs = performance.now() + timeoutMs
  while (isAlive(pid)) {
    signal?.throwIfAborted()
    if (performance.now() > deadlineMs) return false
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS))
  }
  return true
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

/** An end of a TCP connection, as `/proc/net/tcp` writes it without its order of bytes: address, port. */
export interface Peer {
  readonly address: string
  readonly port: number
}

/** State of an established connection there. */
const ESTABLISHED = '01'

/** Whom the process has TCP connections to. Not asynchronous: `/proc` is no disk, and there are many small files in it. */
export function tcpPeers(pid: number): readonly Peer[] {
  const links = orElse([], () => readdirSync(`/proc/${pid}/fd`)).map((fd) =>
    orElse('', () => readlinkSync(`/proc/${pid}/fd/${fd}`)),
  )
  const inodes = new Set(links.flatMap((link) => /^socket:\[(\d+)\]$/.exec(link)?.[1] ?? []))
  const tables = ['tcp', 'tcp6'].map((name) => orElse('', () => readFileSync(`/proc/${pid}/net/${name}`, 'utf8')))
  return tables.flatMap((table) =>
    table
      .split('\n')
      .slice(1)
      .map((line) => line.trim().split(/\s+/))
      .filter((columns) => columns[3] === ESTABLISHED && inodes.has(columns[9] ?? ''))
      .map((columns) => toPeer(columns[2]!)),
  )
}

/** What is read of a process may be gone. */
function orElse<Value>(otherwise: Value, read: () => Value): Value {
  try {
    return read()
  } catch {
    return otherwise
  }
}

/** `0100007F:2A1C`: an address in 32-bit words of the machine's order of bytes, a port. */
function toPeer(text: string): Peer {
  const [hex = '', port = ''] = text.split(':')
  const bytes = Buffer.from(hex, 'hex')
  for (let at = 0; at + 4 <= bytes.length; at += 4) bytes.subarray(at, at + 4).reverse()
  const isMapped = bytes.length === 16 && bytes.subarray(0, 12).toString('hex') === '00000000000000000000ffff'
  const ipv4 = isMapped ? bytes.subarray(12) : bytes
  const address = ipv4.length === 4 ? [...ipv4].join('.') : bytes.toString('hex').replace(/(.{4})(?=.)/g, '$1:')
  return { address, port: parseInt(port, 16) }
}
