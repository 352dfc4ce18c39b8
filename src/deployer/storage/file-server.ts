import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import {
  addBlockNode,
  addNbdExport,
  deleteBlockNode,
  deleteNbdExport,
  QmpClient,
  queryBlockNodes,
  startNbdServer,
  type BlockNodeOptions,
} from '../../qmp/index.ts'
import { SkilfishError } from '../../errors.ts'
import { makeFolder } from '../../io/index.ts'
import { runTool } from '../host/tool.ts'
import { waitForExit } from '../host/qemu-process.ts'
import { told } from './files.ts'

/** Where hosts reach the machine that has the files. */
export interface ListenPlace {
  readonly host: string
  readonly port: number
}

const DAEMON = 'qemu-storage-daemon'
const TEMPLATE = 'template'

/** How a machine's image is offered. */
type Access = 'read' | 'write'

/** What the export is called. */
const exportOf = (vm: string, access: Access): string => `${vm}-${access}`

/** The node and the export's id. QEMU wants a letter first, and at most 31 characters; machines may have more, and begin with a digit. */
const nodeOf = (vm: string, access: Access): string =>
  `vm-${createHash('sha256').update(vm).digest('hex').slice(0, 16)}-${access}`

/** How long it may take to end, milliseconds. */
const STOP_TIMEOUT_MS = 30_000

/** How long it may take to listen, milliseconds. */
const START_TIMEOUT_MS = 10_000

/** Connections at once, over all exports. */
const MAX_CONNECTIONS = 1024

/** A `qemu-storage-daemon` that outlives this process, and is found again by the next. */
export class FileServer {
  readonly #folder: string
  readonly #templatePath: string
  readonly #listen: ListenPlace
  #last: Promise<unknown> = Promise.resolve()

  constructor(folder: string, templatePath: string, listen: ListenPlace) {
    this.#folder = folder
    this.#templatePath = templatePath
    this.#listen = listen
  }

  offerTemplate(): Promise<BlockNodeOptions> {
    return this.#inTurn(async () => {
      const qmp = await this.#ensure()
      qmp.close()
      return this.#place(TEMPLATE)
    })
  }

  /** Offers a machine's image, to read or to write but not both: who wants to read what is written reads through the same export. */
  offer(vm: string, path: string, access: Access): Promise<BlockNodeOptions> {
    return this.#inTurn(() => this.#offer(vm, path, access))
  }

  /** Offers a machine's image no more, so that others may open its file. */
  close(vm: string): Promise<void> {
    return this.#inTurn(async () => {
      const qmp = await this.#connect()
      if (qmp === undefined) return
      try {
        const nodes = await queryBlockNodes(qmp)
        await this.#remove(
          qmp,
          nodes.map(({ nodeName }) => nodeName),
          vm,
        )
      } finally {
        qmp.close()
      }
    })
  }

  /** The daemon serves one client of its socket at a time. */
  #inTurn<Result>(work: () => Promise<Result>): Promise<Result> {
    const result = this.#last.then(work)
    this.#last = result.catch(() => undefined)
    return result
  }

  async #offer(vm: string, path: string, wanted: Access): Promise<BlockNodeOptions> {
    const qmp = await this.#ensure()
    try {
      const nodes = (await queryBlockNodes(qmp)).map(({ nodeName }) => nodeName)
      const access = nodes.includes(nodeOf(vm, 'write')) ? 'write' : wanted
      const nodeName = nodeOf(vm, access)
      const name = exportOf(vm, access)
      if (!nodes.includes(nodeName)) {
        await this.#remove(qmp, nodes, vm)
        const isReadOnly = access === 'read'
        const file: BlockNodeOptions = { driver: 'file', filename: path, 'read-only': isReadOnly }
        await addBlockNode(qmp, {
          driver: 'qcow2',
          'node-name': nodeName,
          file,
          backing: TEMPLATE,
          'read-only': isReadOnly,
        })
        await addNbdExport(qmp, { id: nodeName, nodeName, name, isWritable: !isReadOnly })
      }
      return this.#place(name)
    } finally {
      qmp.close()
    }
  }

  async stop(): Promise<void> {
    const qmp = await this.#connect()
    if (qmp === undefined) return
    try {
      const path = join(this.#folder, 'server.pid')
      const pid = Number(await told(`read ${path}`, readFile(path, 'utf8')))
      await qmp.execute('quit').catch(() => undefined)
      await waitForExit(pid, STOP_TIMEOUT_MS)
    } finally {
      qmp.close()
    }
  }

  async #remove(qmp: QmpClient, nodes: readonly string[], vm: string): Promise<void> {
    for (const name of [nodeOf(vm, 'read'), nodeOf(vm, 'write')].filter((one) => nodes.includes(one))) {
      await deleteNbdExport(qmp, name, STOP_TIMEOUT_MS)
      await deleteBlockNode(qmp, name)
    }
  }

  async #ensure(): Promise<QmpClient> {
    return (await this.#connect()) ?? this.#start()
  }

  #connect(): Promise<QmpClient | undefined> {
    return QmpClient.connect(this.#socket).catch(() => undefined)
  }

  get #socket(): string {
    return join(this.#folder, 'server.sock')
  }

  /** Not beside one that hangs: a second would take its socket, and then fail. */
  async #start(): Promise<QmpClient> {
    await told(`make ${this.#folder}`, makeFolder(this.#folder))
    const pid = Number(await readFile(join(this.#folder, 'server.pid'), 'utf8').catch(() => 'none'))
    const commandLine = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')
    if (commandLine.includes(this.#socket)) {
      const text = `${DAEMON} (process ${pid}) does not answer at ${this.#socket}; end it`
      throw new SkilfishError('STORAGE_FAILED', `cannot offer the files of the cluster: ${text}`)
    }
    const file = { driver: 'file', 'read-only': true, filename: this.#templatePath }
    const template = { driver: 'raw', 'node-name': TEMPLATE, 'read-only': true, file }
    await runTool('STORAGE_FAILED', DAEMON, [
      ...['--daemonize', '--pidfile', join(this.#folder, 'server.pid')],
      ...['--chardev', `socket,id=qmp,path=${this.#socket},server=on,wait=off`, '--monitor', 'chardev=qmp'],
      ...['--blockdev', JSON.stringify(template)],
    ])
    const qmp = await QmpClient.connect(this.#socket, { patienceMs: START_TIMEOUT_MS })
    try {
      const { host, port } = this.#listen
      await startNbdServer(qmp, { type: 'inet', host, port: String(port) }, MAX_CONNECTIONS)
      await addNbdExport(qmp, { id: TEMPLATE, nodeName: TEMPLATE, name: TEMPLATE })
      return qmp
    } catch (cause) {
      await qmp.execute('quit').catch(() => undefined)
      qmp.close()
      const { host, port } = this.#listen
      const reason = cause instanceof Error ? cause.message : String(cause)
      const text = `cannot listen at ${host}:${port}: ${reason}; choose a free address of this machine for storage.listen`
      throw new SkilfishError('STORAGE_FAILED', text, { cause })
    }
  }

  #place(exportName: string): BlockNodeOptions {
    const { host, port } = this.#listen
    return { driver: 'nbd', server: { type: 'inet', host, port: String(port) }, export: exportName }
  }
}
