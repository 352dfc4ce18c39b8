import { SkilfishError } from '../errors.ts'
import { parseRbdName, RbdReader, type RbdRecord } from '../rbd/index.ts'
import type { Extent, StreamSource } from '../sparse/index.ts'
import type { Program } from './program.ts'
import { RbdTool, type RbdToolOptions } from './rbd-tool.ts'

/**
 * An RBD image or a snapshot of one as a source: what `rbd export-diff` yields of it, so that the cluster reads no holes.
 * Only a snapshot is the same at every moment, and has an identity.
 */
export class RbdSource implements StreamSource {
  readonly label: string
  readonly sizeBytes: number
  readonly identity?: string
  readonly #tool: RbdTool
  #program: Program | undefined

  private constructor(label: string, tool: RbdTool, sizeBytes: number, identity: string | undefined) {
    this.label = label
    this.#tool = tool
    this.sizeBytes = sizeBytes
    if (identity !== undefined) this.identity = identity
  }

  /**
   * @param text `rbd:[POOL/[NAMESPACE/]]IMAGE[@SNAPSHOT]`
   * @throws SkilfishError OPTION_INVALID, SOURCE_NOT_FOUND, SOURCE_DENIED, SOURCE_FAILED, RBD_MISSING, RBD_UNREACHABLE
   */
  static async open(text: string, options?: RbdToolOptions): Promise<RbdSource> {
    const name = parseRbdName(text)
    const tool = new RbdTool(text, name, 'SOURCE', options)
    const found = await tool.find()
    if (found === undefined) {
      const wanted = 'name an existing image (see rbd ls)'
      throw new SkilfishError('SOURCE_NOT_FOUND', `cannot open ${text}: its pool has no such image; ${wanted}`)
    }
    const { id, sizeBytes } = found
    const identity = name.snapshot === undefined ? undefined : `rbd ${id} ${await tool.snapshotId()} ${sizeBytes}`
    return new RbdSource(text, tool, sizeBytes, identity)
  }

  /** Zeros that the cluster holds are left out: no byte of an image is there before, so a hole says the same. */
  async *extents(): AsyncGenerator<Extent, void, void> {
    const program = this.#tool.start('export-diff', ['--path', '-', ...this.#tool.limits])
    this.#program = program
    const reader = new RbdReader(`the diff of ${this.label}`)
    const chunks = program.stdout[Symbol.asyncIterator]() as AsyncIterator<Uint8Array>
    try {
      for (;;) {
        const chunk = await this.#tool.patiently(chunks.next())
        if (chunk.done === true) break
        reader.push(chunk.value)
        for (let record = reader.poll(); record !== undefined; record = reader.poll()) {
          this.#checkSize(record)
          if (record.kind === 'data') yield { offset: record.offset, data: record.bytes }
        }
      }
      this.#tool.check('read', 'export-diff', await this.#tool.patiently(program.ended), program.said)
      reader.finish()
    } finally {
      await this.close()
    }
  }

  /** What is read has no use any more: the program need not end in order. */
  async close(): Promise<void> {
    await this.#program?.stop(0)
  }

  #checkSize(record: RbdRecord): void {
    if (record.kind !== 'size' || record.sizeBytes === this.sizeBytes) return
    const text = `it has ${record.sizeBytes} bytes now; it must keep the ${this.sizeBytes} that it had at the start`
    throw new SkilfishError('SOURCE_CHANGED', `cannot read ${this.label}: ${text}`)
  }
}
