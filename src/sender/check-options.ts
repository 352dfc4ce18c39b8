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
import { SkilfishError } from '../errors.ts'
import {
  Codec,
  MAX_MTU_BYTES,
  MAX_RECEIVER_COUNT,
  MAX_SLICE_BYTES,
  MIN_MTU_BYTES,
  MIN_SLICE_BYTES,
} from '../protocol/index.ts'
import { LEAST_BITS_PER_SEC, MAX_BITS_PER_SEC } from '../ratelimit/index.ts'
import { canCompressZstd } from './frame-encoder.ts'
import type { Compression, SendOptions } from './send-options.ts'

const CODECS: Readonly<Record<Compression, Codec>> = { none: Codec.none, lzo: Codec.lzo, zstd: Codec.zstd }

const TYPES: OptionTypes<Required<SendOptions>> = {
  ...{ source: 'place', group: 'string', interface: 'string', ttl: 'number', mtuBytes: 'number', sliceBytes: 'number' },
  ...{
    compress: 'word',
    fec: 'word',
    maxBitrate: 'number',
    minReceivers: 'number',
    minWaitMs: 'number',
    maxWaitMs: 'number',
  },
  ...{
    startTimeoutMs: 'number',
    receiverTimeoutMs: 'number',
    onSlow: 'word',
    key: 'key',
    signKey: 'key',
    name: 'string',
  },
  ...{ imageId: 'string', spool: 'string', feedbackPort: 'number', windowSlices: 'number', offload: 'word' },
  ...{ signal: 'signal', onProgress: 'function', onLog: 'function' },
}

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

/** @throws RangeError or TypeError */
export function checkMaxBitrate(bitsPerSec: number | undefined): void {
  checkNumber('maxBitrate', bitsPerSec, LEAST_BITS_PER_SEC, MAX_BITS_PER_SEC)
}

/**
 * Checks every option.
 * @throws RangeError or TypeError that names the option, what it wants and what it got
 */
export function checkSendOptions(options: SendOptions): void {
  checkOptionTypes('send', options, TYPES)
  checkPlace('source', options.source, [['nextData', 'readInto'], ['extents']])
  checkCount('ttl', options.ttl, 1, 255)
  checkCount('mtuBytes', options.mtuBytes, MIN_MTU_BYTES, MAX_MTU_BYTES)
  checkCount('sliceBytes', options.sliceBytes, MIN_SLICE_BYTES, MAX_SLICE_BYTES)
  checkMaxBitrate(options.maxBitrate)
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
  const { compress = 'lzo', onSlow = 'defer', fec = 'auto', offload = 'auto' } = options
  checkOffload(offload)
  if (!Object.hasOwn(CODECS, compress)) throw new TypeError(`compress must be lzo, zstd or none, got ${compress}`)
  if (!['wait', 'defer', 'drop'].includes(onSlow))
    throw new TypeError(`onSlow must be wait, defer or drop, got ${onSlow}`)
  if (typeof fec !== 'number' && !['auto', 'off'].includes(fec)) {
    throw new TypeError(`fec must be auto, off or a percentage, got ${fec}`)
  }
}
