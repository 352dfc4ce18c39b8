import type { BlockNodeOptions } from '../../qmp/index.ts'

/** Names of the nodes of a virtual machine's disk, the same for every machine. */
export const NODE = {
  overlay: 'overlay',
  overlayFile: 'overlay-file',
  remote: 'remote',
  remoteProtocol: 'remote-protocol',
  local: 'local',
} as const

/** Marks what the guest has written since its changes were last in the storage. */
export const BITMAP = 'since-commit'

/** What one bit of it stands for, bytes: a cluster of the overlay. */
export const BITMAP_GRANULARITY_BYTES = 65536

export type NamedNode = BlockNodeOptions & { readonly 'node-name': string }

/** How long requests wait for an NBD server that has gone before the guest is paused, seconds. */
const RECONNECT_SECONDS = 30

/** What a virtual machine reads from the storage: the protocol's node, and the raw one above it. */
export function remoteNodes(protocol: BlockNodeOptions): readonly NamedNode[] {
  const waiting = protocol.driver === 'nbd' ? { 'reconnect-delay': RECONNECT_SECONDS, 'open-timeout': 10 } : {}
  return [
    { ...protocol, ...waiting, 'node-name': NODE.remoteProtocol, 'read-only': true },
    { driver: 'raw', 'node-name': NODE.remote, 'read-only': true, file: NODE.remoteProtocol },
  ]
}

/** The local copy: the template, and above it what the machine alone has, where there is that. */
export function localNode(basePath: string, uniquePath: string | undefined): NamedNode {
  const template: BlockNodeOptions = { driver: 'raw', 'read-only': true, file: readOnlyFile(basePath) }
  if (uniquePath === undefined) return { ...template, 'node-name': NODE.local }
  const file = readOnlyFile(uniquePath)
  return { driver: 'qcow2', 'node-name': NODE.local, 'read-only': true, file, backing: template }
}

const readOnlyFile = (filename: string): BlockNodeOptions => ({ driver: 'file', 'read-only': true, filename })

/** What keeps the guest's changes. All options are here, as a reopen resets those that are left out. */
export const overlayNode = (backing: string): NamedNode => ({
  driver: 'qcow2',
  'node-name': NODE.overlay,
  file: NODE.overlayFile,
  backing,
  discard: 'unmap',
  'detect-zeroes': 'unmap',
})

export const overlayFileNode = (path: string): NamedNode => ({
  driver: 'file',
  'node-name': NODE.overlayFile,
  filename: path,
  discard: 'unmap',
})
