import { Ajv, type ErrorObject } from 'ajv'
import { isNode, isSeq, LineCounter, parseDocument, type Document } from 'yaml'
import { SkilfishError } from '../errors.ts'
import { parseGroup } from '../io/index.ts'
import { DEFAULT_PORT } from '../protocol/index.ts'
import { parseCap } from '../ratelimit/index.ts'
import { CLUSTER_SCHEMA } from './cluster-schema.ts'
import type { TransferPlace, VmHardware } from './host-protocol.ts'

/** A host, with defaults filled in. */
export interface HostPlan {
  readonly name: string
  /** What runs a program there; empty for this machine. `{host}` is replaced already. */
  readonly through: readonly string[]
  readonly folder: string
  /** The `skilfish` command there; undefined for this program. */
  readonly program: readonly string[] | undefined
  readonly interface: string | undefined
}

/** A virtual machine, with defaults filled in. */
export interface VmPlan {
  readonly name: string
  readonly host: string
  readonly hardware: VmHardware
}

/** A cluster as its file describes it. */
export interface ClusterPlan {
  readonly cluster: string
  readonly storage: { readonly template: string; readonly cephConf?: string; readonly listen?: string }
  readonly transfer: TransferPlace & {
    readonly maxBitrate?: number
    /** Name of the host that sends; undefined for this machine. */
    readonly sender?: string
  }
  readonly hosts: readonly HostPlan[]
  readonly vms: readonly VmPlan[]
}

type HostText = Partial<Omit<HostPlan, 'name'>>
type VmText = Partial<VmHardware>

/** The file after its check by the schema. */
interface ClusterText {
  readonly cluster: string
  readonly storage: ClusterPlan['storage']
  readonly transfer?: {
    readonly group?: string
    readonly interface?: string
    readonly ttl?: number
    readonly sender?: string
    readonly maxBitrate?: string
    readonly keyFile?: string
  }
  readonly hostDefaults?: HostText
  readonly hosts?: readonly (HostText & { readonly name: string })[]
  readonly vmDefaults?: VmText
  readonly vms: readonly (VmText & { readonly name: string; readonly host?: string })[]
}

/** Longest description, bytes. */
const MAX_BYTES = 16 * 1024 * 1024

/** Messages that are told at once. */
const MAX_FAULTS = 10

/**
 * Reads the description of a cluster: YAML 1.2, or JSON, which is YAML too.
 * @param label where it came from, for messages
 * @param changes put into it, in order: `PATH=VALUE`, the keys of a path separated by dots, the value in YAML. With the text empty, they
 *   are the description.
 * @throws SkilfishError CLUSTER_INVALID with the line and column, or the change, of each of the first ten faults
 */
export function parseCluster(text: string, label: string, changes: readonly string[] = []): ClusterPlan {
  if (text.length > MAX_BYTES) throw invalid(label, [`it is longer than ${MAX_BYTES} bytes`])
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false })
  const place = (offset: number): string => {
    const { line, col } = lines.linePos(offset)
    return `line ${line}, column ${col}`
  }
  if (document.errors.length > 0) {
    throw invalid(
      label,
      document.errors.map(({ code, message, pos }) => {
        // The package's own message names a function.
        return `${place(pos[0])}: ${code === 'MULTIPLE_DOCS' ? 'a second document begins; one is wanted' : message}`
      }),
    )
  }
  const changed = changes.map((change) => applyChange(document, change))
  const value = valueOf(document, (reason) => invalid(label, [reason]))
  const refuse = (faults: readonly Fault[]): SkilfishError => {
    const lines = faults.map(({ path, text }) => {
      const cause = changed.findLast((keys) => isSameWay(keys, path))
      const origin = cause === undefined ? place(offsetOf(document, path)) : `set ${cause.join('.')}`
      return `${origin}: ${text}`
    })
    return invalid(label, lines)
  }
  // That the schema itself is one is for tests: to look at it takes as long as all the rest.
  const options = { allErrors: true, strict: false, verbose: true, meta: false, validateSchema: false }
  const validate = new Ajv(options).compile(CLUSTER_SCHEMA)
  if (!validate(value)) {
    throw refuse((validate.errors ?? []).map((error) => ({ path: pathOf(error), text: describe(error) })))
  }
  const faults: Fault[] = []
  const plan = toPlan(value as ClusterText, faults)
  if (faults.length > 0) throw refuse(faults)
  return plan
}

/** @param faults takes what the schema cannot know; with any, the plan is of no use */
function toPlan(text: ClusterText, faults: Fault[]): ClusterPlan {
  const hosts = (text.hosts ?? [{ name: 'local' }]).map((host): HostPlan => {
    const {
      name,
      through = [],
      folder = '/var/lib/skilfish',
      program,
      interface: network,
    } = { ...text.hostDefaults, ...host }
    const words = through.map((word) => word.replaceAll('{host}', name))
    return {
      name,
      through: words,
      folder,
      program: program ?? (words.length > 0 ? ['skilfish'] : undefined),
      interface: network,
    }
  })
  const vms = text.vms.map(({ name, host = hosts[0]!.name, ...hardware }): VmPlan => {
    const defaults = { qemu: 'qemu-system-x86_64', accelerator: 'auto', memoryMiB: 512, cpus: 1, arguments: [] }
    return { name, host, hardware: { ...defaults, ...text.vmDefaults, ...hardware } }
  })
  faults.push(...repeated(hosts, 'hosts', 'hosts'), ...repeated(vms, 'vms', 'virtual machines'))
  for (const [index, { name, host }] of vms.entries()) {
    if (hosts.some((one) => one.name === host)) continue
    faults.push({ path: ['vms', index, 'host'], text: `${name} is to run on ${host}, which is not among the hosts` })
  }
  const { maxBitrate, keyFile, ...transfer } = text.transfer ?? {}
  const { sender } = transfer
  const path = ['transfer', 'sender']
  if (sender !== undefined && !hosts.some(({ name }) => name === sender)) {
    faults.push({ path, text: `${sender} is to send, and is not among the hosts` })
  } else if (sender !== undefined && !text.storage.template.startsWith('rbd:')) {
    faults.push({
      path,
      text: `${sender} is to send a file of this machine; only a template in Ceph can be sent by a host`,
    })
  }
  const cap = read(maxBitrate, parseCap, ['transfer', 'maxBitrate'], faults)
  read(transfer.group, (group) => parseGroup(group, DEFAULT_PORT), ['transfer', 'group'], faults)
  return {
    cluster: text.cluster,
    storage: text.storage,
    transfer: {
      ...transfer,
      ...(keyFile === undefined ? {} : { key: keyFile }),
      ...(cap === undefined ? {} : { maxBitrate: cap }),
    },
    hosts,
    vms,
  }
}

/** Reads a value that is given; what it is refused with becomes a fault. */
function read<T>(value: string | undefined, parse: (text: string) => T, path: Keys, faults: Fault[]): T | undefined {
  try {
    return value === undefined ? undefined : parse(value)
  } catch (error) {
    if (!(error instanceof SkilfishError)) throw error
    faults.push({ path, text: `${path.join('.')}: ${error.message}` })
    return undefined
  }
}

type Keys = readonly (string | number)[]

/** What is wrong with the value that the keys lead to. */
interface Fault {
  readonly path: Keys
  readonly text: string
}

const toKey = (text: string): string | number => (/^\d{1,9}$/.test(text) ? Number(text) : text)

/** @returns the keys to what it puts in */
function applyChange(document: Document, change: string): Keys {
  const [, path, value] = /^([^=]+)=(.*)$/s.exec(change) ?? []
  if (path === undefined || value === undefined) throw cannotSet(change, 'expected PATH=VALUE')
  const parsed = parseDocument(value, { prettyErrors: false })
  if (parsed.errors.length > 0) throw cannotSet(change, parsed.errors[0]!.message)
  const keys = path.split('.').map(toKey)
  const fault = listFault(document, keys)
  if (fault !== undefined) throw cannotSet(change, fault)
  const node = document.createNode(valueOf(parsed, (reason) => cannotSet(change, reason)))
  try {
    document.setIn(keys, node)
  } catch {
    throw cannotSet(change, 'the description has a value, and nothing in it, on the way there')
  }
  return keys
}

/** Why the keys lead to no place of a list on their way; undefined when they do. A place behind the end would be one of many that are empty. */
function listFault(document: Document, keys: Keys): string | undefined {
  for (const [depth, key] of keys.entries()) {
    const list = depth === 0 ? document.contents : document.getIn(keys.slice(0, depth), true)
    const name = depth === 0 ? 'the description' : keys.slice(0, depth).join('.')
    if (list === undefined && Number(key) > 0) return `there is no list ${name} yet; ${name}.0 begins one`
    if (!isSeq(list)) continue
    const count = list.items.length
    const has = `${name} is a list of ${count} ${count === 1 ? 'entry' : 'entries'}`
    if (typeof key === 'string') return `${has}; name one by its number, from 0`
    if (key > count) return `${has}, counted from 0; ${name}.${count} adds one`
  }
  return undefined
}

/** @throws what `fault` makes of an alias to nothing, or too many */
function valueOf(document: Document, fault: (reason: string) => SkilfishError): unknown {
  try {
    return document.toJS({ maxAliasCount: 1000 }) as unknown
  } catch (error) {
    if (!(error instanceof ReferenceError)) throw error
    throw fault(error.message)
  }
}

/** Whether one of them leads to, or into, what the other does. */
function isSameWay(some: Keys, others: Keys): boolean {
  const count = Math.min(some.length, others.length)
  return count > 0 && some.slice(0, count).every((key, index) => String(key) === String(others[index]))
}

const cannotSet = (change: string, reason: string): SkilfishError =>
  new SkilfishError(
    'CLUSTER_INVALID',
    `cannot set ${JSON.stringify(change)} in the description of a cluster: ${reason}`,
  )

/** The keys to the value that is wrong, or to what should not be there. */
function pathOf({ instancePath, params }: ErrorObject): Keys {
  const path = instancePath
    .split('/')
    .slice(1)
    .map((part) => toKey(part.replaceAll('~1', '/').replaceAll('~0', '~')))
  const { additionalProperty: extra } = params as { additionalProperty?: string }
  return extra === undefined ? path : [...path, extra]
}

function offsetOf(document: Document, path: Keys): number {
  for (const candidate of [path, path.slice(0, -1)]) {
    const node = document.getIn(candidate, true)
    if (isNode(node) && node.range) return node.range[0]
  }
  return 0
}

function describe(error: ErrorObject): string {
  const where = error.instancePath === '' ? 'the description' : error.instancePath.slice(1).replaceAll('/', '.')
  const { additionalProperty, allowedValues } = error.params as {
    additionalProperty?: string
    allowedValues?: unknown[]
  }
  if (additionalProperty !== undefined) return `${where} has ${additionalProperty}, which is unknown`
  if (allowedValues !== undefined) return `${where} must be one of ${allowedValues.join(', ')}`
  if (error.keyword === 'pattern') {
    const { $comment: allowed } = error.parentSchema as { $comment: string }
    return `${where} must be ${allowed}, got ${JSON.stringify(error.data)}`
  }
  return `${where} ${error.message ?? 'is wrong'}`
}

/** A fault for each entry of the list whose name an earlier one has. */
function repeated(items: readonly { readonly name: string }[], list: string, what: string): readonly Fault[] {
  const names = items.map(({ name }) => name)
  return names.flatMap((name, index) =>
    names.indexOf(name) === index ? [] : [{ path: [list, index, 'name'], text: `two ${what} have the name ${name}` }],
  )
}

function invalid(label: string, faults: readonly string[]): SkilfishError {
  const more = faults.length > MAX_FAULTS ? [`and ${faults.length - MAX_FAULTS} more`] : []
  const text = [...faults.slice(0, MAX_FAULTS), ...more].join('\n  ')
  return new SkilfishError('CLUSTER_INVALID', `cannot use ${label} as the description of a cluster:\n  ${text}`)
}
