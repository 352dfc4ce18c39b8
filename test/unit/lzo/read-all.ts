import { type LzopFault, type LzopHeader, LzopReader } from '../../../src/lzo/index.ts'

export interface LzopContent {
  readonly header: LzopHeader | undefined
  /** Copies, as the reader reuses its memory. */
  readonly blocks: readonly Uint8Array[]
  /** As the records tell it. */
  readonly fault: LzopFault | undefined
  /** As `finish` tells it. */
  readonly end: LzopFault | undefined
}

/** Reads a file that comes in these chunks, and takes the records out after each one. Each chunk's memory is then spoilt. */
export function readAll(chunks: Iterable<Uint8Array>, reader: LzopReader = new LzopReader()): LzopContent {
  let header: LzopHeader | undefined
  let fault: LzopFault | undefined
  const blocks: Uint8Array[] = []
  for (const bytes of chunks) {
    const chunk = Buffer.from(bytes)
    reader.push(chunk)
    for (let record = reader.poll(); record; record = reader.poll()) {
      if (record.kind === 'header') header = record.header
      else if (record.kind === 'block') blocks.push(record.bytes.slice())
      else fault = record.fault
    }
    chunk.fill(0xee)
  }
  return { header, blocks, fault, end: reader.finish() }
}
