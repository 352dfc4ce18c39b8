import type { ResumableSink } from '../../../src/sparse/index.ts'
import { MemorySink } from './memory-sink.ts'

/** A target in memory that keeps its first page back and can be gone on with. */
export class MemoryResumableSink extends MemorySink implements ResumableSink {
  readonly heldBytes = 4096
  readonly journalPath = 'memory.skilfish'
  readonly fingerprintPath = undefined
  mark: string | undefined = 'a-mark'
  onFlush: () => Promise<void> = () => Promise.resolve()

  hasMark(mark: string): Promise<boolean> {
    return Promise.resolve(mark === this.mark)
  }

  reopen(): Promise<void> {
    this.calls.push('reopen')
    return Promise.resolve()
  }

  async flush(): Promise<void> {
    this.calls.push('flush')
    await this.onFlush()
  }
}
