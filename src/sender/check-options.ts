import { checkCount, checkNumber, checkPlace, checkText, MAX_WAIT_MS } from '../check.ts'
import { SkilfishError } from '../errors.ts'
import { Codec, MAX_RECEIVER_COUNT } from '../protocol/index.ts'
import { LEAST_BITS_PER_SEC, MAX_BITS_PER_SEC } from '../ratelimit/index.ts'
import { canCompressZstd } from './frame-encoder.ts'
import type { Compression, SendOptions } from './send-options.ts'

const CODECS: Readonly<Record<Compression, Codec>> = { none: Codec.none, lzo: Codec.lzo, zstd: Codec.zstd }

/**
 * The wire's number of a codec that this program can make.
 * @throws SkilfishError OPTION_INVALID for zstd where Node.js has none
 */
export function codecOf(compression: Compression): Codec {
  if (compression === 'zstd' && !canCompressZstd()) {
    throw new SkilfishError(
      'OPTION_INVALID',
      `cannot compress with zstd: Node.js ${process.versions.node} has no zstd, 22.15 or newer has`,
    )
  }
  return CODECS[compression]
}

/**
 * Checks every option that has bounds.
 * @throws RangeError or TypeError that names the option, what it wants and what it got
 */
export function checkSendOptions(options: SendOptions): void {
  checkPlace('source', options.source, ['readInto', 'extents'])
  checkCount('ttl', options.ttl, 1, 255)
  checkNumber('maxBitrate', options.maxBitrate, LEAST_BITS_PER_SEC, MAX_BITS_PER_SEC)
  checkCount('minReceivers', options.minReceivers, 0, MAX_RECEIVER_COUNT)
  checkNumber('minWaitMs', options.minWaitMs, 0, MAX_WAIT_MS)
  checkNumber('maxWaitMs', options.maxWaitMs, 0, MAX_WAIT_MS)
  checkNumber('startTimeoutMs', options.startTimeoutMs, 1, MAX_WAIT_MS)
  checkNumber('receiverTimeoutMs', options.receiverTimeoutMs, 1000, MAX_WAIT_MS)
  checkCount('windowSlices', options.windowSlices, 16, 4096)
  checkCount('feedbackPort', options.feedbackPort, 1, 65_535)
  if (typeof options.fec === 'number') checkNumber('fec', options.fec, 0, 100)
  checkText('name', options.name)
  checkText('imageId', options.imageId)
  const { compress = 'lzo', onSlow = 'defer', fec = 'auto' } = options
  if (!Object.hasOwn(CODECS, compress)) throw new TypeError(`compress must be lzo, zstd or none, got ${compress}`)
  if (!['wait', 'defer', 'drop'].includes(onSlow))
    throw new TypeError(`onSlow must be wait, defer or drop, got ${onSlow}`)
  if (typeof fec !== 'number' && !['auto', 'off'].includes(fec)) {
    throw new TypeError(`fec must be auto, off or a percentage, got ${fec}`)
  }
}
