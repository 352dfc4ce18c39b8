import type { DeployerEvent, EvictReport, FetchResult, Part, SwitchResult, VmView } from '../deployer/index.ts'
import { formatBitrate } from '../ratelimit/index.ts'
import type { DeployName } from './deploy-command.ts'
import type { Outcome, Output } from './output.ts'
import { formatBytes, formatCount, formatPercent, formatTime } from './quantities.ts'

/** Shows what a deployer does: a line for each thing begun, done or failed, and how far the slowest host or machine is. */
export class DeployView {
  readonly #output: Output
  readonly #startedMs = performance.now()
  readonly #percents = new Map<string, number>()

  constructor(output: Output) {
    this.#output = output
  }

  show(event: DeployerEvent): void {
    const { operation, kind, percent = 0, bitsPerSec = 0, elapsedMs = 0, text = '' } = event
    const subject = event.vm ?? event.host ?? 'of all'
    if (operation === 'status' && kind !== 'note') return
    if (kind === 'progress') {
      this.#percents.set(subject, percent)
      this.#progress(event, percent, bitsPerSec)
    } else {
      this.#percents.delete(subject)
      const where = event.vm === undefined || event.host === undefined ? '' : ` on ${event.host}`
      const lines = {
        begun: `${operation} ${subject}${where}`,
        done: `${operation} ${subject}: done in ${formatTime(elapsedMs)}`,
        failed: `${operation} ${subject}: failed: ${text}`,
        note: `${operation} ${subject}: ${text}`,
      }
      this.#output.log(lines[kind])
    }
  }

  #progress(raw: DeployerEvent, percent: number, bitsPerSec: number): void {
    const slowest = Math.min(...this.#percents.values())
    this.#output.progress({
      ...{ raw, phase: raw.operation, elapsedMs: performance.now() - this.#startedMs, percent: slowest },
      facts: [formatBitrate(bitsPerSec)],
      details: [`${raw.vm ?? raw.host ?? 'sender'} ${formatPercent(percent)}`],
    })
  }
}

type Results = FetchResult | readonly VmView[] | readonly Part<unknown>[]

/** What an operation came to, for programs and for people. */
export function resultOf(operation: DeployName, results: Results): Outcome {
  const raw = { operation, results }
  return { raw, summary: 'multicastBytes' in results ? fetchSummary(results) : summaryOf(results) }
}

function summaryOf(results: readonly VmView[] | readonly Part<unknown>[]): readonly string[] {
  const isViews = (all: typeof results): all is readonly VmView[] => all.every((one) => 'vm' in one)
  if (isViews(results)) return table(STATUS_HEADS, results.map(statusRow))
  return table(['', 'host', 'time', ''], results.map(partRow))
}

const STATUS_HEADS = ['machine', 'host', 'state', 'base', 'generation', 'changed']

function statusRow(view: VmView): readonly string[] {
  const { vm, host, base = '', record, overlayBytes, isCommitted, reason, storageReason } = view
  const state = reason === undefined ? view.state : `${view.state} (${reason})`
  const changed =
    overlayBytes === undefined ? '' : `${formatBytes(overlayBytes)}${isCommitted === true ? ', committed' : ''}`
  const noImage = storageReason === undefined ? 'no image' : 'unknown'
  const generation = record === undefined ? noImage : String(record.generation)
  const note = record?.committing === undefined ? '' : ', commit interrupted'
  return [vm, host, state, base, `${generation}${note}`, changed]
}

function partRow({ name, host, elapsedMs, result, error }: Part<unknown>): readonly string[] {
  // Why is told below, by the failure.
  return [name, host, formatMs(elapsedMs), error === undefined ? detail(result) : 'failed']
}

/** The numbers that matter of each kind of result. */
function detail(result: unknown): string {
  if (typeof result !== 'object' || result === null) return ''
  if ('switchMs' in result) {
    const { wasLocal, wasYanked, switchMs, connectionsBefore, connectionsAfter } = result as SwitchResult
    if (wasLocal) return 'was on its local copy'
    const cut = wasYanked ? ', storage did not answer' : ''
    return `switched in ${formatMs(switchMs)}, connections to the storage ${connectionsBefore} to ${connectionsAfter}${cut}`
  }
  if ('committedBytes' in result) {
    const { committedBytes, copyMs, verifyMs, generation } = result as Record<string, number>
    if (committedBytes === 0) return `nothing to commit, generation ${generation}`
    const times = `written in ${formatMs(copyMs ?? 0)}, read back ${formatMs(verifyMs ?? 0)} after that`
    return `${formatBytes(committedBytes ?? 0)} as generation ${generation}, ${times}`
  }
  if ('isAdopted' in result) return result.isAdopted === true ? 'ran already' : ''
  if ('isNew' in result) return result.isNew === true ? '' : 'was there'
  if ('isHostLost' in result) return result.isHostLost === true ? 'its changes are given up' : 'it had none'
  if ('how' in result) return String(result.how).replace('-', ' ')
  if ('removed' in result) {
    const { removed, kept } = result as EvictReport
    const stay = kept.map(({ name, usedBy }) => `${name} is in use by ${usedBy.join(', ')}`)
    return [removed.join(', ') || 'nothing', ...stay].join('; ')
  }
  return ''
}

function fetchSummary({ multicastBytes, hosts, vms }: FetchResult): readonly string[] {
  const cached = hosts.filter(({ result }) => result?.isCached === true).length
  return [
    `${formatCount(hosts.length - cached, 'host')} received the template, ${formatBytes(multicastBytes)} on the wire; ${cached} had it`,
    ...vms.map(({ name, result }) => `${name}: ${formatBytes(result?.copiedBytes ?? 0)} of its own`),
  ]
}

const formatMs = (ms: number): string => (ms < 1000 ? `${Math.round(ms)} ms` : formatTime(ms))

function table(heads: readonly string[], rows: readonly (readonly string[])[]): readonly string[] {
  const all = [heads, ...rows]
  const widths = heads.map((_, column) => Math.max(...all.map((row) => (row[column] ?? '').length)))
  return all.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column]!))
      .join('  ')
      .trimEnd(),
  )
}
