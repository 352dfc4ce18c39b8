import type { NbdAddress } from './block-nodes.ts'
import { Fields } from './fields.ts'
import type { QmpClient } from './qmp-client.ts'

/** What QEMU says of its guest: `running`, `paused`, `io-error`, `prelaunch`, `shutdown` and others. */
export async function queryStatus(qemu: QmpClient): Promise<{ readonly status: string; readonly isRunning: boolean }> {
  const fields = new Fields('query-status', await qemu.execute('query-status'))
  return { status: fields.text('status'), isRunning: fields.flag('running') }
}

/** Lets the guest go on. Requests that failed with `rerror` or `werror` of `stop` are tried again. */
export async function continueGuest(qemu: QmpClient): Promise<void> {
  await qemu.execute('cont')
}

/** Presses the power button. What comes of it is the guest's affair. */
export async function powerDownGuest(qemu: QmpClient): Promise<void> {
  await qemu.execute('system_powerdown')
}

/** Ends QEMU, and with it the connection. */
export async function quitQemu(qemu: QmpClient): Promise<void> {
  await qemu.execute('quit')
}

/** Breaks the connection of NBD nodes at once, also while QEMU's main loop waits for them: their requests fail. QEMU 6.0. */
export async function yankBlockNodes(qemu: QmpClient, nodeNames: readonly string[]): Promise<void> {
  const instances = nodeNames.map((nodeName) => ({ type: 'block-node', 'node-name': nodeName }))
  await qemu.execute('yank', { instances }, { isOutOfBand: true })
}

/** What can be yanked: names of nodes. */
export async function queryYankableNodes(qemu: QmpClient): Promise<readonly string[]> {
  const instances = Fields.ofList('query-yank', await qemu.execute('query-yank'))
  return instances.flatMap((instance) => (instance.text('type') === 'block-node' ? [instance.text('node-name')] : []))
}

/** Starts the NBD server, of which QEMU has one. */
export async function startNbdServer(qemu: QmpClient, address: NbdAddress, maxConnections?: number): Promise<void> {
  const { type, ...data } = address
  const most = maxConnections === undefined ? {} : { 'max-connections': maxConnections }
  await qemu.execute('nbd-server-start', { addr: { type, data }, ...most })
}

/** Offers a node on the NBD server. */
export async function addNbdExport(
  qemu: QmpClient,
  options: {
    readonly id: string
    readonly nodeName: string
    /** What clients ask for. */
    readonly name: string
    readonly isWritable?: boolean
    /** Dirty bitmaps that clients may look at. */
    readonly bitmaps?: readonly string[]
  },
): Promise<void> {
  const { id, nodeName, name, isWritable = false, bitmaps = [] } = options
  const nbd = { type: 'nbd', id, 'node-name': nodeName, name, writable: isWritable }
  await qemu.execute('block-export-add', bitmaps.length === 0 ? nbd : { ...nbd, bitmaps })
}

/** Ends an export, also of clients that are connected. @returns when it is gone and its node is free */
export async function deleteNbdExport(qemu: QmpClient, id: string, timeoutMs: number): Promise<void> {
  const gone = qemu.waitForEvent(
    `the end of the export ${id}`,
    ({ name, data }) => name === 'BLOCK_EXPORT_DELETED' && data['id'] === id,
    timeoutMs,
  )
  await qemu.execute('block-export-del', { id, mode: 'hard' })
  await gone
}
