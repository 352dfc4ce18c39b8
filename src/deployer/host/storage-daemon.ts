import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { SkilfishError } from '../../errors.ts'
import {
  addBlockNode,
  addNbdExport,
  deleteNbdExport,
  QmpClient,
  startNbdServer,
  type BlockNodeOptions,
} from '../../qmp/index.ts'
import { makeStepFolder } from './host-folder.ts'
import { NbdClient } from './nbd-client.ts'

const DAEMON = 'qemu-storage-daemon'

/** How long it may take to answer, milliseconds. Opening an image of the storage may be part of it. */
const START_TIMEOUT_MS = 30_000

/** How long a request of its exports may take: storage that is stopped for a while must be waited for, milliseconds. */
const REQUEST_TIMEOUT_MS = 120_000

/** Has QEMU's block layer at hand for a while: a `qemu-storage-daemon` with its sockets in a folder that only this user sees. */
export class StorageDaemon {
  readonly qmp: QmpClient
  /** Its own, of this user alone; goes with it. */
  readonly folder: string
  /** What it said, when it has ended: by itself, or as it was told to. */
  readonly ended: Promise<string>
  readonly #child: ChildProcess
  #isServing = false

  private constructor(folder: string, child: ChildProcess, qmp: QmpClient, ended: Promise<string>) {
    this.folder = folder
    this.#child = child
    this.qmp = qmp
    this.ended = ended
  }

  /** @param parent a folder for the sockets; its path is short enough when those of virtual machines are */
  static async start(parent: string): Promise<StorageDaemon> {
    const folder = await makeStepFolder(parent)
    const socket = join(folder, 'q')
    const args = ['--chardev', `socket,id=qmp,path=${socket},server=on,wait=off`, '--monitor', 'chardev=qmp']
    // It must not outlive a step that is killed: it would go on to hold the image that it writes.
    const child = spawn('setpriv', ['--pdeathsig', 'KILL', DAEMON, ...args], { stdio: ['ignore', 'ignore', 'pipe'] })
    let said = ''
    child.stderr.setEncoding('utf8').on('data', (text: string) => (said = (said + text).slice(-1000)))
    // At the end of what it says, not of itself: the last words may come later.
    const ended = new Promise<string>((resolve) => {
      child.once('error', ({ message }) => resolve(`${message}; setpriv (util-linux) must be installed`))
      child.once('close', () => resolve(said.trim() === '' ? 'it ended' : `it says: ${said.trim()}`))
    })
    const failed = ended.then((reason) => {
      throw new SkilfishError('QEMU_FAILED', `cannot run ${DAEMON}: ${reason}`)
    })
    failed.catch(() => undefined)
    try {
      const qmp = await Promise.race([QmpClient.connect(socket, { patienceMs: START_TIMEOUT_MS }), failed])
      return new StorageDaemon(folder, child, qmp, ended)
    } catch (error) {
      child.kill('SIGKILL')
      await rm(folder, { recursive: true, force: true })
      throw error
    }
  }

  add(options: BlockNodeOptions & { 'node-name': string }): Promise<void> {
    return addBlockNode(this.qmp, options)
  }

  /** Opens a node for reading and, if wanted, writing from this process. */
  async open(nodeName: string, isWritable: boolean): Promise<NbdClient> {
    const path = await this.#serve()
    await addNbdExport(this.qmp, { id: `export-${nodeName}`, nodeName, name: nodeName, isWritable })
    return NbdClient.connect({ path }, nodeName, REQUEST_TIMEOUT_MS)
  }

  /** Offers a node's bitmap to programs of QEMU while `work` runs. */
  async withBitmap<Result>(
    nodeName: string,
    bitmap: string,
    work: (path: string, exportName: string) => Promise<Result>,
  ): Promise<Result> {
    const path = await this.#serve()
    const id = `bitmap-${nodeName}`
    await addNbdExport(this.qmp, { id, nodeName, name: id, bitmaps: [bitmap] })
    try {
      return await work(path, id)
    } finally {
      await deleteNbdExport(this.qmp, id, REQUEST_TIMEOUT_MS)
    }
  }

  async #serve(): Promise<string> {
    const path = join(this.folder, 'n')
    if (!this.#isServing) await startNbdServer(this.qmp, { type: 'unix', path })
    this.#isServing = true
    return path
  }

  /** Ends it in order, so that bitmaps are saved and everything is flushed. */
  async stop(): Promise<void> {
    try {
      await this.qmp.execute('quit').catch(() => this.#child.kill('SIGTERM'))
      if (this.#child.exitCode === null && this.#child.signalCode === null) {
        const timer = setTimeout(() => this.#child.kill('SIGKILL'), START_TIMEOUT_MS)
        await once(this.#child, 'exit')
        clearTimeout(timer)
      }
    } finally {
      this.qmp.close()
      await rm(this.folder, { recursive: true, force: true })
    }
  }
}
