import { resolve } from 'node:path'
import { SkilfishError } from '../errors.ts'
import { dropText, keepText, openSink, systemReason } from '../io/index.ts'
import { DIGEST_NAMES, type Announce, type DigestKind, type End, type Geometry } from '../protocol/index.ts'
import { isResumable, type ImageFacts, type ImageSink, type ResumableSink } from '../sparse/index.ts'
import { formatFingerprint } from './fingerprint.ts'
import { FrameConsumer } from './frame-consumer.ts'
import type { JournalHeader } from './journal-format.ts'
import { readJournal, removeJournal, requireJournalPlace, type FoundJournal } from './journal-reader.ts'
import { Journal } from './journal.ts'
import type { SettledMap } from './machine/index.ts'
import type { ReceiveOptions } from './receive-options.ts'

/** Where the slices of a session go. */
export interface OpenTarget {
  readonly consumer: FrameConsumer
  /** What an earlier run has settled, when this one goes on with it. */
  readonly settled?: SettledMap
}

/** A target that is complete. */
export interface FinishedTarget {
  readonly rootDigest: Uint8Array
  /** Left out when the sender told runs of zeros: the target cannot be told from one with holes there. */
  readonly fingerprint?: string
}

interface TargetHooks {
  readonly onLog: (line: string) => void
  /** The target can no longer be relied on. */
  readonly onFailure: (error: unknown) => void
}

/** A target and its journal, from before a session is found to the end. */
export class ReceiveTarget {
  readonly #sink: ImageSink
  readonly #journalPath: string | undefined
  /** Whether the user has asked for a journal: then it is an error when there can be none. */
  readonly #isJournalWanted: boolean
  readonly #found: FoundJournal | undefined
  readonly #hooks: TargetHooks
  #journal: Journal | undefined
  #consumer: FrameConsumer | undefined
  #hasBegun = false
  #isFinished = false
  /** Why no flush can vouch any more for what was written. */
  #failure: unknown
  #beginning: Promise<OpenTarget> | undefined
  #finishing: Promise<FinishedTarget> | undefined

  private constructor(
    sink: ImageSink,
    journalPath: string | undefined,
    options: ReceiveOptions,
    found: FoundJournal | undefined,
    hooks: TargetHooks,
  ) {
    this.#sink = sink
    this.#journalPath = journalPath
    this.#isJournalWanted = options.journal !== undefined || options.resume === true
    this.#found = found
    this.#hooks = hooks
  }

  /**
   * Opens the target, and looks what an earlier run has left; changes neither.
   * @throws SkilfishError JOURNAL_REFUSED, JOURNAL_FAILED, and those of `openSink`
   */
  static async open(options: ReceiveOptions, hooks: TargetHooks): Promise<ReceiveTarget> {
    const { target, resume = false } = options
    const sink = typeof target === 'string' ? await openSink(target, options) : target
    try {
      const unfit = resume ? '--resume' : options.journal === undefined ? undefined : '--journal'
      if (unfit !== undefined && !isResumable(sink)) throw notResumable(sink, unfit)
      const path = isResumable(sink) ? (options.journal ?? sink.journalPath) : undefined
      const found = resume && isResumable(sink) && path !== undefined ? await findJournal(sink, path) : undefined
      if (unfit !== undefined && path !== undefined && found === undefined) await requirePlace(sink, path)
      if (resume && found === undefined) hooks.onLog(`there is no journal ${path}: beginning anew`)
      return new ReceiveTarget(sink, path, options, found, hooks)
    } catch (error) {
      await sink.abort()
      throw error
    }
  }

  get label(): string {
    return this.#sink.label
  }

  /**
   * A session was found: opens the target for its image, or goes on with it.
   * @throws SkilfishError JOURNAL_REFUSED when the journal is of another image; JOURNAL_FAILED; those of the sink
   */
  begin(announce: Announce, geometry: Geometry, digestKind: DigestKind): Promise<OpenTarget> {
    return (this.#beginning = this.#begin(announce, geometry, digestKind))
  }

  /**
   * All slices are written. See {@link FrameConsumer.finish}.
   * @throws SkilfishError DIGEST_MISMATCH, and those of the sink, also when an earlier flush has failed
   */
  finish(end: End, blind?: (plain: Uint8Array) => Uint8Array): Promise<FinishedTarget> {
    return (this.#finishing = this.#finish(end, blind))
  }

  /**
   * Ends without success: what is settled by now goes into the journal (unless a write or `finish` has failed: then no more than was
   * flushed before), and the target stays marked as incomplete. A `begin` or `finish` under way ends first.
   * @returns whether that `finish` has succeeded: then the target is complete, and stays so
   */
  async abort(): Promise<boolean> {
    await this.#beginning?.catch(ignore)
    const isOnDisk = isResumable(this.#sink)
    // Writes to a disk end by themselves; those that a reader or a cluster holds up, the sink ends.
    if (!isOnDisk && !this.#isFinished) await this.#sink.abort()
    await this.#finishing?.catch(ignore)
    if (this.#isFinished) return true
    await this.#consumer?.close()
    await this.#endJournal('close')
    if (!this.#hasBegun) await this.#found?.file.close()
    if (isOnDisk) await this.#sink.abort()
    return false
  }

  async #begin(announce: Announce, geometry: Geometry, digestKind: DigestKind): Promise<OpenTarget> {
    const { imageId, imageName, imageBytes } = announce
    const image: ImageFacts = { name: imageName, imageId, sizeBytes: imageBytes }
    const found = this.#found
    const slices = { sliceBytes: geometry.sliceBytes, digestKind }
    if (found === undefined) await this.#beginAnew(image, slices)
    else await this.#goOn(found, image, slices)
    this.#hasBegun = true
    const journal = this.#journal
    this.#consumer = new FrameConsumer({
      ...{ sink: this.#sink, geometry, digestKind, imageBytes, restored: found },
      ...(journal === undefined
        ? {}
        : { onWritten: (written) => journal.note(written), onFailed: () => void journal.stop() }),
    })
    return { consumer: this.#consumer, ...(found === undefined ? {} : { settled: found.settled }) }
  }

  async #finish(end: End, blind?: (plain: Uint8Array) => Uint8Array): Promise<FinishedTarget> {
    const consumer = this.#consumer!
    try {
      await this.#journal?.stop()
      if (this.#failure !== undefined) throw this.#failure as Error
      const rootDigest = await consumer.finish(end, blind)
      this.#isFinished = true
      await this.#endJournal('remove')
      if (consumer.zeroRunCount > 0) return { rootDigest }
      const { imageBytes } = end
      const { sliceBytes, digestKind } = consumer
      const fingerprint = formatFingerprint({ rootDigest, imageBytes, sliceBytes, digestKind })
      await this.#tend('keep', (path) => keepText(path, fingerprint))
      return { rootDigest, fingerprint }
    } catch (error) {
      // What led to another image than the sender's is of no use to a next run.
      if (error instanceof SkilfishError && error.code === 'DIGEST_MISMATCH') await this.#endJournal('remove')
      throw error
    }
  }

  async #beginAnew(image: ImageFacts, slices: SliceFacts): Promise<void> {
    await this.#tend('drop', dropText)
    const path = this.#journalPath
    const isFree = path !== undefined && (await this.#clearJournal(path))
    await this.#sink.open(image)
    const { mark } = this.#sink as ResumableSink
    if (!isFree || mark === undefined) return
    const { imageId, name: imageName, sizeBytes } = image
    const header = { imageId, imageName, ...slices, mark }
    this.#journal = Journal.begin(
      this.#sink as ResumableSink,
      path,
      sizeBytes === undefined ? header : { ...header, imageBytes: sizeBytes },
      (error) => this.#handleLoss(error),
    )
  }

  async #goOn(found: FoundJournal, image: ImageFacts, slices: SliceFacts): Promise<void> {
    const { header, totals, settled, file } = found
    const { imageId, imageName: name, imageBytes: sizeBytes } = header
    // That of a stream is known from its end on, and not to a sender that has begun it anew.
    const isSameSize = sizeBytes === undefined || image.sizeBytes === undefined || sizeBytes === image.sizeBytes
    const isSameCut = header.sliceBytes === slices.sliceBytes && header.digestKind === slices.digestKind
    if (imageId !== image.imageId || !isSameCut || !isSameSize) {
      const wanted = describe({ imageId, name, sizeBytes }, header)
      const got = describe(image, slices)
      const text = `the journal ${file.path} is of ${wanted}, the session sends ${got}; leave out --resume to receive that`
      throw new SkilfishError('JOURNAL_REFUSED', `cannot go on with ${this.label}: ${text}`)
    }
    const sink = this.#sink as ResumableSink
    await sink.reopen(image, totals.dataEnd)
    this.#journal = Journal.continue(sink, found, (error) => this.#handleLoss(error))
    this.#hooks.onLog(`going on: ${settled.count} slices are there, up to byte ${totals.spansEnd}`)
  }

  /** Takes an old journal away. @returns whether there may be a new one */
  async #clearJournal(path: string): Promise<boolean> {
    try {
      if (await removeJournal(path))
        this.#hooks.onLog(`beginning anew: the journal ${path} of an earlier run is dropped`)
      return true
    } catch (error) {
      if (this.#isJournalWanted) throw error
      this.#hooks.onLog(`there will be no journal: ${(error as Error).message}`)
      return false
    }
  }

  #handleLoss(error: unknown): void {
    const isOfJournal = error instanceof SkilfishError && error.code === 'JOURNAL_FAILED'
    if (isOfJournal)
      this.#hooks.onLog(`${error.message}; the transfer goes on, and what it writes from here on is not recorded`)
    else this.#hooks.onFailure((this.#failure = error))
  }

  /** Does something to the kept fingerprint. That it may fail is no failure of the transfer. */
  async #tend(action: 'keep' | 'drop', step: (path: string) => Promise<void>): Promise<void> {
    const path = (this.#sink as ResumableSink).fingerprintPath
    try {
      if (path !== undefined) await step(path)
    } catch (error) {
      this.#hooks.onLog(`cannot ${action} the fingerprint ${path}: ${systemReason(error)}`)
    }
  }

  /** What is done is done: a journal that cannot be closed or removed is no failure. */
  async #endJournal(how: 'close' | 'remove'): Promise<void> {
    const journal = this.#journal
    this.#journal = undefined
    try {
      await journal?.[how]()
    } catch (error) {
      this.#hooks.onLog((error as Error).message)
    }
  }
}

/** The error goes to whoever has called for what failed. */
const ignore = (): void => undefined

async function findJournal(sink: ResumableSink, path: string): Promise<FoundJournal | undefined> {
  const found = await readJournal(path)
  if (found === undefined || (await sink.hasMark(found.header.mark))) return found
  await found.file.close()
  const state = 'it does not begin with the stamp of the transfer that the journal is of'
  const text = `${state}; if it is complete, or you want to receive it anew, remove ${path}`
  throw new SkilfishError('JOURNAL_REFUSED', `cannot go on with ${sink.label}: ${text}`)
}

async function requirePlace(sink: ImageSink, path: string): Promise<void> {
  if (resolve(path) !== resolve(sink.label)) return requireJournalPlace(path)
  const text = `cannot use the journal ${path}: it is the target itself; name another place with --journal`
  throw new SkilfishError('JOURNAL_REFUSED', text)
}

/** What the slices of an image are, beside the image. */
type SliceFacts = Pick<JournalHeader, 'sliceBytes' | 'digestKind'>

function describe({ imageId, name, sizeBytes }: ImageFacts, { sliceBytes, digestKind }: SliceFacts): string {
  const size = sizeBytes === undefined ? 'a size not known yet' : `${sizeBytes} bytes`
  return `image ${imageId} (${name}) of ${size} in slices of ${sliceBytes} bytes with digests of ${DIGEST_NAMES[digestKind]}`
}

const notResumable = (sink: ImageSink, option: string): SkilfishError =>
  new SkilfishError(
    'TARGET_UNSUPPORTED',
    `cannot go on with ${sink.label}: only files and block devices keep what they were given; leave out ${option}`,
  )
