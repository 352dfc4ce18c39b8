/** The grain of sparseness, bytes: pages of zeros of this size, aligned to it in the image, are never sent. */
export const PAGE_BYTES = 4096

/** A half-open range of an image, in bytes: `start` inclusive, `end` exclusive, `start < end`. */
export interface Range {
  readonly start: number
  readonly end: number
}

/** A run of image bytes that a {@link StreamSource} yields: data, or zeros that must be zero at the target. */
export type Extent =
  { readonly offset: number; readonly data: Uint8Array } | { readonly offset: number; readonly zeroBytes: number }

interface SourceFacts {
  /** For people: a path or a description. */
  readonly label: string
  /**
   * What tells this image, in this state, from any other (for a file: name, size, time of change). Two opens of an unchanged
   * source give the same text. Left out where there is no such thing (a pipe).
   */
  readonly identity?: string
  /** Frees what the source holds. Called once, also after a failure. */
  close?(): Promise<void>
}

/** A source that can be read anywhere, more than once, and in several places at once: a file or a block device. */
export interface RandomAccessSource extends SourceFacts {
  /** Size of the image in bytes, 0 to 2^53 - 1. */
  readonly sizeBytes: number
  /**
   * The first run of data that ends after `offset`, cut so that it starts at or after `offset`; undefined when only holes follow.
   * May report zeros as data, never data as a hole.
   */
  nextData(offset: number): Promise<Range | undefined>
  /** Bytes of data before `offset`, where that is known at little cost: what progress is measured by. */
  dataBefore?(offset: number): number | undefined
  /**
   * Fills `into` with the bytes at `offset`. The caller keeps the buffer.
   * @throws SkilfishError SOURCE_FAILED when the device fails, SOURCE_CHANGED when the source ends early.
   */
  readInto(offset: number, into: Uint8Array): Promise<void>
  /** @throws SkilfishError SOURCE_CHANGED when the source is no longer what was opened. */
  verifyUnchanged?(): Promise<void>
}

/** A source that is read once, in order: a pipe, a diff stream, a caller's own generator. */
export interface StreamSource extends SourceFacts {
  /** Size of the image in bytes where it is known beforehand; else the end of the last extent is the size. */
  readonly sizeBytes?: number
  /**
   * Yields extents by ascending offset, not overlapping, of any length. What no extent covers is a hole.
   * A yielded buffer may be reused by the source once the next extent is asked for.
   */
  extents(): AsyncIterable<Extent>
}

export type ImageSource = RandomAccessSource | StreamSource

export const isRandomAccess = (source: ImageSource): source is RandomAccessSource => 'readInto' in source

/** What a sink is told of the image before the first write. */
export interface ImageFacts {
  readonly name: string
  readonly imageId: string
  /** Size in bytes, or undefined when only the end of the transfer tells it. */
  readonly sizeBytes: number | undefined
}

/**
 * Where a received image goes. Calls follow `open` → (`write` | `zero`)* → `finish` or `abort`; several writes may be
 * under way at once, never overlapping.
 */
export interface ImageSink {
  /** For people: a path or a description. */
  readonly label: string
  /** True: `write` and `zero` must come in ascending order without gaps (a pipe). */
  readonly isSequential: boolean
  /** @throws SkilfishError TARGET_TOO_SMALL and others of the table's TARGET_ codes. */
  open(image: ImageFacts): Promise<void>
  /** Writes verified bytes. `bytes` belong to the caller again when the promise settles. */
  write(offset: number, bytes: Uint8Array): Promise<void>
  /** Makes `lengthBytes` at `offset` read as zeros: a hole where that is possible. */
  zero(offset: number, lengthBytes: number): Promise<void>
  /** All is written and verified: sets the size, flushes to stable storage, and only then marks the target complete. */
  finish(sizeBytes: number): Promise<void>
  /**
   * Gives up: the target stays recognisably incomplete. Called at most once, not after `finish` succeeded. At a
   * {@link ResumableSink} nothing is under way then; at any other, writes and `finish` may be, and must settle soon.
   */
  abort(): Promise<void>
}

/** A sink that can go on with what an earlier run has left unfinished. */
export interface ResumableSink extends ImageSink {
  /**
   * Tells this unfinished target from any other, and from what it was before and will be after: a short text that lies in the
   * target itself. Drawn by `open`, kept by `reopen`; undefined before.
   */
  readonly mark: string | undefined
  /** Bytes at the start of the image that are on stable storage only after `finish`. */
  readonly heldBytes: number
  /** Where the journal lies unless the user names a place. */
  readonly journalPath: string
  /** Where the fingerprint of the finished target is kept; undefined: nowhere. */
  readonly fingerprintPath: string | undefined
  /** Whether the target is the unfinished one that has this mark. Before `open`. */
  hasMark(mark: string): Promise<boolean>
  /**
   * In place of `open`, after `hasMark` has said yes: keeps what is there.
   * @param coveredBytes end of the data that must be there
   */
  reopen(image: ImageFacts, coveredBytes: number): Promise<void>
  /** Brings what was written to stable storage. After an error no later call can vouch for what was written before. */
  flush(): Promise<void>
}

export const isResumable = (sink: ImageSink): sink is ResumableSink => 'reopen' in sink
