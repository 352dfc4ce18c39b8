import { checkOptionTypes, type OptionTypes } from '../check.ts'
import { SkilfishError } from '../errors.ts'
import { FINGERPRINT_SUFFIX, isIncompleteTarget, openSource, readKeptText, systemReason } from '../io/index.ts'
import {
  Codec,
  DIGEST_COVERS_FROM,
  DIGEST_OFFSET,
  encodeFrameHeadInto,
  FRAME_HEADER_BYTES,
  frameHeadBytes,
  maxRunCount,
  RootDigest,
} from '../protocol/index.ts'
import { isRbdName } from '../rbd/index.ts'
import { sha256, sliceDigest } from '../digest.ts'
import { isRandomAccess, RandomAccessSlicer, StreamSlicer, type ImageSource, type Slice } from '../sparse/index.ts'
import { parseFingerprint, type Fingerprint } from './fingerprint.ts'

/** What to check, and against what. */
export interface VerifyOptions {
  /** Path of a file or block device, or `rbd:[POOL/[NAMESPACE/]]IMAGE[@SNAPSHOT]`. */
  readonly target: string
  /** As `receive` resolves with it. Default: the one that was kept beside a file. */
  readonly fingerprint?: string
  /** Gives up. */
  readonly signal?: AbortSignal
  /** Called after each slice, with the image bytes looked at, of how many. */
  readonly onProgress?: (positionBytes: number, imageBytes: number) => void
}

const TYPES: OptionTypes<Required<VerifyOptions>> = {
  ...{ target: 'string', fingerprint: 'string', signal: 'signal', onProgress: 'function' },
}

/** What was found to be right. */
export interface VerifyResult {
  readonly imageBytes: number
  readonly dataBytes: number
  readonly sliceCount: number
  /** Hexadecimal. */
  readonly rootDigest: string
}

/**
 * Reads a finished target and compares its root digest with the one that is in its fingerprint. Changes nothing.
 *
 * On a device, what lies behind the image does not count.
 * @throws SkilfishError TARGET_DIFFERS; TARGET_UNFINISHED; FINGERPRINT_MISSING; OPTION_INVALID for a fingerprint that is none;
 * TARGET_UNSUPPORTED for what is neither a file nor a block device nor an RBD image; INTERRUPTED; SOURCE_NOT_FOUND, SOURCE_DENIED,
 * SOURCE_FAILED, SOURCE_CHANGED, RBD_MISSING and RBD_UNREACHABLE when it cannot be read
 */
export async function verifyTarget(options: VerifyOptions): Promise<VerifyResult> {
  checkOptionTypes('verifyTarget', options, TYPES)
  const { target } = options
  if (typeof target !== 'string') throw new TypeError(`target must be a path, got ${typeof target}`)
  if (target === '-') throw unsupported('standard output')
  if (await isIncompleteTarget(target)) {
    const text = `cannot verify ${target}: it is not complete; go on with --resume, or receive it again`
    throw new SkilfishError('TARGET_UNFINISHED', text)
  }
  const source = await openSource(target).catch((error: unknown) => {
    throw error instanceof SkilfishError && error.code === 'SOURCE_UNSUPPORTED' ? unsupported(target) : error
  })
  try {
    const isRbd = isRbdName(target)
    if (!isRandomAccess(source) && !isRbd) throw unsupported(target)
    // A device has no identity: see `openSource`.
    const isDevice = !isRbd && source.identity === undefined
    const fingerprint = await fingerprintOf(options, isRbd ? 'an RBD image' : isDevice ? 'a device' : undefined)
    const { imageBytes } = fingerprint
    const sizeBytes = source.sizeBytes ?? 0
    // A device may be larger.
    const isWrongSize = isDevice ? sizeBytes < imageBytes : sizeBytes !== imageBytes
    if (isWrongSize) throw differs(target, `${sizeBytes} bytes`, `${imageBytes} bytes`)
    const result = await digest(source, fingerprint, options)
    const wanted = Buffer.from(fingerprint.rootDigest).toString('hex')
    if (result.rootDigest !== wanted) {
      throw differs(target, `the root digest ${result.rootDigest}`, wanted)
    }
    return result
  } finally {
    await source.close?.()
  }
}

/** @param kind of a target for which none is kept */
async function fingerprintOf(
  { target, fingerprint: given }: VerifyOptions,
  kind: string | undefined,
): Promise<Fingerprint> {
  const action = `cannot verify ${target}`
  if (given !== undefined) {
    const parsed = parseFingerprint(given)
    if (parsed !== undefined) return parsed
    const text = `${action}: ${JSON.stringify(given)} is no fingerprint; expected what skilfish-recv has told at its end`
    throw new SkilfishError('OPTION_INVALID', text)
  }
  const wanted = 'give --fingerprint with what skilfish-recv has told at its end'
  if (kind !== undefined)
    throw new SkilfishError('FINGERPRINT_MISSING', `${action}: for ${kind} none is kept; ${wanted}`)
  const path = `${target}${FINGERPRINT_SUFFIX}`
  const kept = await readKeptText(path).catch((cause: unknown) => {
    const text = `${action}: cannot read ${path}: ${systemReason(cause)}; ${wanted}`
    throw new SkilfishError('FINGERPRINT_MISSING', text, { cause })
  })
  const parsed = kept === undefined ? undefined : parseFingerprint(kept)
  if (parsed !== undefined) return parsed
  const state = kept === undefined ? `there is no ${path}` : `${path} is damaged`
  throw new SkilfishError('FINGERPRINT_MISSING', `${action}: ${state}; ${wanted}`)
}

async function digest(
  source: ImageSource,
  { imageBytes, sliceBytes, digestKind }: Fingerprint,
  { signal, onProgress }: VerifyOptions,
): Promise<VerifyResult> {
  const read = sliceReader(source, sliceBytes, imageBytes)
  const headRoom = frameHeadBytes(maxRunCount(sliceBytes))
  const buffer = new Uint8Array(headRoom + sliceBytes)
  const root = new RootDigest(sha256)
  let [position, sliceCount, dataBytes] = [0, 0, 0]
  for (;;) {
    if (signal?.aborted) throw new SkilfishError('INTERRUPTED', 'the check was interrupted')
    const slice = await read(position, buffer.subarray(headRoom))
    if (slice === undefined) break
    const head = buffer.subarray(headRoom - frameHeadBytes(slice.runs.length), headRoom)
    encodeFrameHeadInto(head, { ...slice, codec: Codec.none })
    const plain = buffer.subarray(headRoom, headRoom + slice.plainBytes)
    const covered = [head.subarray(DIGEST_COVERS_FROM, DIGEST_OFFSET), head.subarray(FRAME_HEADER_BYTES), plain]
    root.add(sliceCount++, sliceDigest[digestKind](...covered))
    position = slice.spanEnd
    dataBytes += slice.plainBytes
    onProgress?.(position, imageBytes)
    // Only zeros follow a slice that is not full.
    if (slice.plainBytes < sliceBytes) break
  }
  if (isRandomAccess(source)) await source.verifyUnchanged?.()
  const rootDigest = Buffer.from(root.finish(imageBytes, sliceCount)).toString('hex')
  return { imageBytes, dataBytes, sliceCount, rootDigest }
}

/** Both kinds of sources give the same slices: what `rbd` yields has no runs of zeros. */
function sliceReader(
  source: ImageSource,
  sliceBytes: number,
  imageBytes: number,
): (spanStart: number, into: Uint8Array) => Promise<Slice | undefined> {
  if (!isRandomAccess(source)) {
    const slicer = new StreamSlicer(source, sliceBytes)
    return (_, into) => slicer.read(into)
  }
  const slicer = new RandomAccessSlicer(source, sliceBytes)
  return (spanStart, into) => slicer.read(spanStart, into, imageBytes)
}

const unsupported = (target: string): SkilfishError =>
  new SkilfishError(
    'TARGET_UNSUPPORTED',
    `cannot verify ${target}: it is neither a file nor a block device nor an RBD image; name one of these`,
  )

const differs = (target: string, got: string, wanted: string): SkilfishError =>
  new SkilfishError(
    'TARGET_DIFFERS',
    `${target} is not what was received: it has ${got}, the fingerprint says ${wanted}`,
  )
