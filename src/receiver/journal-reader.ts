import { SkilfishError } from '../errors.ts'
import { JournalFile } from '../io/index.ts'
import { RootDigest } from '../protocol/index.ts'
import { sha256 } from '../digest.ts'
import {
  decodeHeader,
  decodeRecord,
  decodeSlices,
  JOURNAL_MAGIC,
  MAX_RECORD_BYTES,
  NO_TOTALS,
  SUM_BYTES,
  type JournalHeader,
  type JournalTotals,
} from './journal-format.ts'
import { SettledMap } from './machine/settled-map.ts'

/** A journal that an earlier run has left. */
export interface FoundJournal {
  readonly file: JournalFile
  readonly header: JournalHeader
  readonly totals: JournalTotals
  readonly settled: SettledMap
  /** Holds the digests of the settled slices. */
  readonly root: RootDigest
  /** Of the last record. */
  readonly sum: Uint8Array
}

/**
 * Reads a journal. The last record may be torn by a power cut: it is cut off, and what comes before it counts. Anything else
 * that is not as it was written makes all of it worthless.
 * @returns undefined when there is none, or none with a whole record
 * @throws SkilfishError JOURNAL_REFUSED when it is damaged, of another version, or no journal; JOURNAL_FAILED
 */
export async function readJournal(path: string): Promise<FoundJournal | undefined> {
  const file = await JournalFile.openExisting(path)
  if (file === undefined) return undefined
  try {
    const found = await readRecords(file)
    if (found === undefined) await file.close()
    return found
  } catch (error) {
    await file.close()
    throw error
  }
}

/**
 * Takes away the journal of a transfer that is not gone on with.
 * @returns whether there was one
 * @throws SkilfishError JOURNAL_REFUSED when the file is no journal: it stays; JOURNAL_FAILED
 */
export async function removeJournal(path: string): Promise<boolean> {
  const file = await JournalFile.openExisting(path)
  if (file === undefined) return false
  if (await isJournal(file)) {
    await file.remove()
    return true
  }
  await file.close()
  throw noJournal(path)
}

/**
 * Looks whether a new journal may lie there, in place of an old one that may be there. Changes nothing.
 * @throws SkilfishError JOURNAL_REFUSED when there is a file that is no journal; JOURNAL_FAILED
 */
export async function requireJournalPlace(path: string): Promise<void> {
  const file = await JournalFile.openExisting(path)
  if (file === undefined) return JournalFile.requirePlace(path)
  try {
    if (!(await isJournal(file))) throw noJournal(path)
  } finally {
    await file.close()
  }
}

async function isJournal(file: JournalFile): Promise<boolean> {
  const start = await file.read(0, JOURNAL_MAGIC.length)
  // A power cut may have left less than the first line.
  return Buffer.compare(start, JOURNAL_MAGIC.subarray(0, start.length)) === 0
}

async function readRecords(file: JournalFile): Promise<FoundJournal | undefined> {
  if (!(await isJournal(file))) {
    throw refused(file.path, 'it is no journal of this version', 'name another place with --journal')
  }
  let header: JournalHeader | undefined
  let totals = NO_TOTALS
  let sum: Uint8Array = new Uint8Array(SUM_BYTES)
  const settled = new SettledMap()
  const root = new RootDigest(sha256)
  let at = JOURNAL_MAGIC.length
  while (at < file.sizeBytes) {
    const record = decodeRecord(sum, await file.read(at, MAX_RECORD_BYTES))
    if (record === 'torn' || (record === 'bad' && (await areZerosLeft(file, at)))) {
      await file.cut(at)
      break
    }
    if (record === 'bad') throw damaged(file.path, at)
    if (header === undefined) {
      header = decodeHeader(record.content)
      if (header === undefined) throw damaged(file.path, at)
    } else {
      const slices = decodeSlices(record.content)
      if (slices === undefined) throw damaged(file.path, at)
      for (const { slice, digest } of slices.entries) {
        if (!settled.add(slice)) throw damaged(file.path, at)
        root.add(slice, digest)
      }
      totals = slices.totals
    }
    sum = record.sum
    at += record.recordBytes
  }
  return header === undefined || settled.count === 0 ? undefined : { file, header, totals, settled, root, sum }
}

/** Whether there are nothing but zeros from `at` on: the size of the file has reached the disk, and no content. */
async function areZerosLeft(file: JournalFile, at: number): Promise<boolean> {
  for (let from = at; from < file.sizeBytes; from += MAX_RECORD_BYTES) {
    const bytes = await file.read(from, MAX_RECORD_BYTES)
    if (bytes.some((byte) => byte !== 0)) return false
  }
  return true
}

const noJournal = (path: string): SkilfishError =>
  refused(path, 'it is no journal', 'name another place with --journal')

const damaged = (path: string, at: number): SkilfishError =>
  refused(path, `its record at byte ${at} is damaged`, 'remove it to start anew')

/** @param wanted what to do about it */
const refused = (path: string, state: string, wanted: string): SkilfishError =>
  new SkilfishError('JOURNAL_REFUSED', `cannot use the journal ${path}: ${state}; ${wanted}`)
