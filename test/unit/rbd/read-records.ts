import { SkilfishError } from '../../../src/errors.ts'
import { RbdReader, type RbdRecord } from '../../../src/rbd/index.ts'

export interface Read {
  /** Data is copied. */
  readonly records: readonly RbdRecord[]
  /** The message of the error with which the stream ended, if it did. */
  readonly fault: string | undefined
}

/** Reads a stream that comes in these chunks, to its end. Fails when it throws anything but RBD_STREAM_INVALID. */
export function readRecords(chunks: readonly Uint8Array[]): Read {
  const records: RbdRecord[] = []
  const reader = new RbdReader()
  try {
    for (const chunk of chunks) {
      reader.push(chunk)
      for (let record = reader.poll(); record; record = reader.poll())
        records.push(record.kind === 'data' ? { ...record, bytes: record.bytes.slice() } : record)
    }
    reader.finish()
  } catch (error) {
    if (!(error instanceof SkilfishError) || error.code !== 'RBD_STREAM_INVALID') throw error
    return { records, fault: error.message }
  }
  return { records, fault: undefined }
}

/** What an image is after the records: one over `image`, grown or cut as they say. */
export function applyRecords(image: Uint8Array, records: readonly RbdRecord[]): Uint8Array {
  let result = image.slice()
  for (const record of records) {
    if (record.kind === 'size') {
      const resized = new Uint8Array(record.sizeBytes)
      resized.set(result.subarray(0, record.sizeBytes))
      result = resized
    } else if (record.kind === 'data') result.set(record.bytes, record.offset)
    else if (record.kind === 'zeros') result.fill(0, record.offset, record.offset + record.lengthBytes)
  }
  return result
}
