import type { ImageSink } from '../../../src/sparse/index.ts'

/** A target in memory, full of stale bytes. Records its calls; `onWrite` and `onFinish` may delay or fail them. */
export class MemorySink implements ImageSink {
  readonly label = 'memory'
  readonly isSequential: boolean
  readonly bytes: Uint8Array
  readonly calls: string[] = []
  finishedBytes: number | undefined
  onWrite: (offset: number) => Promise<void> = () => Promise.resolve()
  onFinish: () => Promise<void> = () => Promise.resolve()
  onAbort: () => void = () => undefined

  constructor(sizeBytes: number, isSequential = false) {
    this.bytes = new Uint8Array(sizeBytes).fill(0x55)
    this.isSequential = isSequential
  }

  open(): Promise<void> {
    return Promise.resolve()
  }

  async write(offset: number, bytes: Uint8Array): Promise<void> {
    this.calls.push(`write ${offset} ${bytes.length}`)
    await this.onWrite(offset)
    this.bytes.set(bytes, offset)
  }

  zero(offset: number, lengthBytes: number): Promise<void> {
    this.calls.push(`zero ${offset} ${lengthBytes}`)
    this.bytes.fill(0, offset, offset + lengthBytes)
    return Promise.resolve()
  }

  async finish(sizeBytes: number): Promise<void> {
    this.calls.push('finish')
    await this.onFinish()
    this.finishedBytes = sizeBytes
  }

  abort(): Promise<void> {
    this.calls.push('abort')
    this.onAbort()
    return Promise.resolve()
  }
}
