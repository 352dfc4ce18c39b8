import {
  checkCount,
  checkNumber,
  checkOffload,
  checkOptionTypes,
  checkPlace,
  checkText,
  MAX_WAIT_MS,
  type OptionTypes,
} from '../check.ts'
import type { ReceiveOptions } from './receive-options.ts'

const TYPES: OptionTypes<Required<ReceiveOptions>> = {
  ...{ target: 'place', group: 'string', interface: 'string', ttl: 'number', key: 'key', verifyKey: 'key' },
  ...{ imageId: 'string', name: 'string', startTimeoutMs: 'number', receiveTimeoutMs: 'number', sync: 'boolean' },
  ...{ direct: 'boolean', resume: 'boolean', journal: 'string', assumeZeroed: 'boolean', bufferSlices: 'number' },
  ...{ offload: 'word', dropRatio: 'number', signal: 'signal', onProgress: 'function', onLog: 'function' },
}

/**
 * Checks every option.
 * @throws RangeError or TypeError that names the option, what it wants and what it got
 */
export function checkReceiveOptions(options: ReceiveOptions): void {
  checkOptionTypes('receive', options, TYPES)
  checkPlace('target', options.target, [['open', 'write', 'zero', 'finish', 'abort']])
  checkOffload(options.offload)
  checkCount('ttl', options.ttl, 1, 255)
  checkNumber('startTimeoutMs', options.startTimeoutMs, 1, MAX_WAIT_MS)
  checkNumber('receiveTimeoutMs', options.receiveTimeoutMs, 1000, MAX_WAIT_MS)
  checkCount('bufferSlices', options.bufferSlices, 8, 1024)
  checkNumber('dropRatio', options.dropRatio, 0, 0.9)
  checkText('name', options.name)
  checkText('imageId', options.imageId)
  if (options.journal === '') throw new RangeError('journal must be a path, got ""')
}
