import { checkCount, checkNumber, checkPlace, checkText, MAX_WAIT_MS } from '../check.ts'
import type { ReceiveOptions } from './receive-options.ts'

/**
 * Checks every option that has bounds.
 * @throws RangeError or TypeError that names the option, what it wants and what it got
 */
export function checkReceiveOptions(options: ReceiveOptions): void {
  checkPlace('target', options.target, ['write'])
  checkCount('ttl', options.ttl, 1, 255)
  checkNumber('startTimeoutMs', options.startTimeoutMs, 1, MAX_WAIT_MS)
  checkNumber('receiveTimeoutMs', options.receiveTimeoutMs, 1000, MAX_WAIT_MS)
  checkCount('bufferSlices', options.bufferSlices, 8, 1024)
  checkNumber('dropRatio', options.dropRatio, 0, 0.9)
  checkText('name', options.name)
  checkText('imageId', options.imageId)
  if (options.journal === '') throw new RangeError('journal must be a path, got ""')
}
