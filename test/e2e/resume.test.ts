import { createHash } from 'node:crypto'
import { existsSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { seededRandom } from '../../src/random.ts'
import { loopback, messages, start, useFolder, type Ended, type Program } from './programs.ts'

const MIB = 1024 * 1024
const IMAGE_BYTES = 24 * MIB

const at = useFolder()

function writeNoise(path: string, seed: number): void {
  const random = seededRandom(seed)
  writeFileSync(
    path,
    Uint8Array.from({ length: IMAGE_BYTES }, () => Math.floor(random() * 256)),
  )
}

const sha256 = (path: string): string => createHash('sha256').update(readFileSync(path)).digest('hex')
/** Of the unfinished copy and its journal. */
const state = (): string[] => ['copy', 'copy.skilfish'].map((name) => sha256(at(name)))
const isCopy = (): boolean => readFileSync(at('copy')).equals(readFileSync(at('image')))
const errorOf = ({ stdout }: Ended): Record<string, unknown> | undefined => messages(stdout, 'error')[0]
const resultOf = ({ stdout }: Ended): Record<string, unknown> => {
  const [result] = messages(stdout, 'result')
  if (result === undefined) throw new Error('the program has no result')
  return result
}
const logOf = ({ stdout }: Ended): string =>
  messages(stdout, 'log')
    .map(({ line }) => String(line))
    .join('\n')

const receive = (network: readonly string[], ...args: readonly string[]): Program =>
  start('recv', [...network, '--json', ...args, at('copy')])

/** A sender that takes about five seconds, and waits for a receiver that was killed until it has come again. */
const sendSlowly = (network: readonly string[], ...args: readonly string[]): Program =>
  start('send', [...network, '--json', '--max-bitrate', '40M', '--receiver-timeout', '20', ...args, at('image')])

const wireBytesOf = (sender: Ended): number => (resultOf(sender)['stats'] as { wireBytes: number }).wireBytes

const sizeOf = (path: string): number => statSync(path, { throwIfNoEntry: false })?.size ?? 0

/** Waits until a journal holds more than it does now. */
async function untilJournalGrows(path: string): Promise<void> {
  await expect.poll(() => sizeOf(path), { timeout: 30_000 }).toBeGreaterThan(sizeOf(path))
}

/** Kills a receiver in the middle, when there is a journal. */
async function killInTheMiddle(receiver: Program): Promise<void> {
  await untilJournalGrows(at('copy.skilfish'))
  receiver.process.kill('SIGKILL')
  await receiver.ended
  expect(readFileSync(at('copy')).toString('latin1', 0, 25)).toBe('SKILFISH INCOMPLETE IMAGE')
}

/** Leaves an unfinished copy with a journal. Both ends are killed. */
async function leaveUnfinished(...args: readonly string[]): Promise<void> {
  const network = loopback()
  const sender = sendSlowly(network, ...args)
  await killInTheMiddle(receive(network))
  sender.process.kill('SIGKILL')
  await sender.ended
}

describe('a receiver that was killed (kill -9)', () => {
  it('goes on with --resume while the sender runs: what it had is not sent again', async () => {
    writeNoise(at('image'), 1)
    const network = loopback()
    const sender = sendSlowly(network)
    await killInTheMiddle(receive(network))
    expect(statSync(at('copy.skilfish')).mode & 0o777).toBe(0o600)
    const [resumed, sent] = await Promise.all([receive(network, '--resume').ended, sender.ended])
    expect(resumed.status, resumed.stderr).toBe(0)
    expect(isCopy()).toBe(true)
    expect(existsSync(at('copy.skilfish'))).toBe(false)
    const { resumedBytes, rootDigest, stats } = resultOf(resumed)
    expect(resumedBytes).toBeGreaterThan(MIB)
    const missingBytes = IMAGE_BYTES - Number(resumedBytes)
    expect((stats as { bytes: number }).bytes).toBeLessThan(1.1 * missingBytes)
    expect(logOf(resumed)).toContain('going on: ')
    // The sender names the receiver that it lost.
    expect(sent.status).toBe(4)
    expect((errorOf(sent)?.['result'] as Record<string, unknown>)['rootDigest']).toBe(rootDigest)
  })

  it('goes on with --resume with a sender that was started again', async () => {
    writeNoise(at('image'), 2)
    await leaveUnfinished()
    const network = loopback()
    const resumed = receive(network, '--resume')
    // At a rate at which nothing is lost.
    const sent = await start('send', [...network, '--json', '--max-bitrate', '80M', at('image')]).ended
    const ended = await resumed.ended
    expect([ended.status, sent.status]).toEqual([0, 0])
    expect(isCopy()).toBe(true)
    const resumedBytes = Number(resultOf(ended)['resumedBytes'])
    expect(resumedBytes).toBeGreaterThan(MIB)
    expect(wireBytesOf(sent)).toBeLessThan(1.1 * (IMAGE_BYTES - resumedBytes))
  })

  it('goes on again and again, also when it is stopped by Ctrl-C', async () => {
    writeNoise(at('image'), 3)
    const network = loopback()
    const sender = sendSlowly(network)
    await killInTheMiddle(receive(network))
    const recordedBytes = sizeOf(at('copy.skilfish'))
    const stopped = receive(network, '--resume')
    await stopped.says('going on: ')
    await untilJournalGrows(at('copy.skilfish'))
    stopped.process.kill('SIGINT')
    const first = await stopped.ended
    expect(first.status).toBe(130)
    expect(errorOf(first)?.['remedy']).toContain('skilfish-recv with --resume')
    expect(sizeOf(at('copy.skilfish'))).toBeGreaterThan(recordedBytes)
    const [last] = await Promise.all([receive(network, '--resume').ended, sender.ended])
    expect(last.status).toBe(0)
    expect(isCopy()).toBe(true)
    expect(resultOf(last)['resumedBytes']).toBeGreaterThan(
      Number(messages(first.stdout, 'progress')[0]?.['resumedBytes']),
    )
  })

  it('begins anew without --resume, and says so', async () => {
    writeNoise(at('image'), 4)
    await leaveUnfinished()
    const network = loopback()
    const receiver = receive(network)
    await start('send', [...network, '--json', at('image')]).ended
    const ended = await receiver.ended
    expect(ended.status).toBe(0)
    expect(resultOf(ended)['resumedBytes']).toBe(0)
    expect(logOf(ended)).toContain(`beginning anew: the journal ${at('copy.skilfish')} of an earlier run is dropped`)
    expect([isCopy(), existsSync(at('copy.skilfish'))]).toEqual([true, false])
  })
})

describe('--resume', () => {
  it('begins anew where there is no journal, and says so', async () => {
    writeNoise(at('image'), 5)
    const network = loopback()
    const receiver = receive(network, '--resume')
    await start('send', [...network, '--json', at('image')]).ended
    const ended = await receiver.ended
    expect(ended.status).toBe(0)
    expect(logOf(ended)).toContain(`there is no journal ${at('copy.skilfish')}: beginning anew`)
    expect(isCopy()).toBe(true)
  })

  it('takes a journal elsewhere with --journal', async () => {
    writeNoise(at('image'), 6)
    const network = loopback()
    const sender = sendSlowly(network)
    const receiver = receive(network, '--journal', at('elsewhere'))
    await untilJournalGrows(at('elsewhere'))
    receiver.process.kill('SIGKILL')
    await receiver.ended
    const resumed = receive(network, '--resume', '--journal', at('elsewhere'))
    const [ended] = await Promise.all([resumed.ended, sender.ended])
    expect(resultOf(ended)['resumedBytes']).toBeGreaterThan(0)
    expect([isCopy(), existsSync(at('elsewhere'))]).toEqual([true, false])
  })

  it('refuses a journal that does not match the image, and leaves target and journal as they were', async () => {
    writeNoise(at('image'), 7)
    await leaveUnfinished('--image-id', 'monday')
    const before = state()
    for (const other of [
      ['--image-id', 'tuesday'],
      ['--image-id', 'monday', '--slice-size', '128K'],
    ]) {
      const network = loopback()
      const resumed = receive(network, '--resume')
      const sender = start('send', [...network, '--json', ...other, at('image')])
      const ended = await resumed.ended
      sender.process.kill('SIGTERM')
      await sender.ended
      expect([ended.status, errorOf(ended)?.['code']]).toEqual([5, 'JOURNAL_REFUSED'])
      expect(errorOf(ended)?.['message']).toContain('leave out --resume to receive that')
      expect(state()).toEqual(before)
    }
  })

  it('refuses a journal that does not match the target: another, or one that was overwritten, before a sender is heard', async () => {
    writeNoise(at('image'), 8)
    await leaveUnfinished()
    renameSync(at('copy.skilfish'), at('journal'))
    await leaveUnfinished()
    for (const journal of ['journal', 'copy.skilfish']) {
      if (journal === 'copy.skilfish') writeFileSync(at('copy'), readFileSync(at('image')))
      const ended = await receive(loopback(), '--resume', '--journal', at(journal)).ended
      expect([ended.status, errorOf(ended)?.['code']]).toEqual([5, 'JOURNAL_REFUSED'])
      expect(errorOf(ended)?.['message']).toMatch(/does not begin with the stamp of the transfer.*, remove /)
    }
    expect(isCopy()).toBe(true)
  })

  it('refuses a journal that does not match its own checksum, before a sender is heard, and leaves both as they were', async () => {
    writeNoise(at('image'), 9)
    await leaveUnfinished()
    const journal = readFileSync(at('copy.skilfish'))
    journal[60]! ^= 1
    writeFileSync(at('copy.skilfish'), journal)
    const before = state()
    const ended = await receive(loopback(), '--resume').ended
    expect([ended.status, errorOf(ended)?.['code']]).toEqual([5, 'JOURNAL_REFUSED'])
    expect(errorOf(ended)?.['message']).toContain('is damaged; remove it to start anew')
    expect(state()).toEqual(before)
  })

  it.each([['--resume'], ['--journal', 'journal']])('is not for standard output: %s', async (option, ...values) => {
    const args = [...loopback(), '--json', '--start-timeout', '5', option, ...values, '-']
    const ended = await start('recv', args, { stdio: ['ignore', 'pipe', 'pipe'] }).ended
    expect(ended.status).toBe(5)
    expect(ended.stderr).toContain('cannot go on with standard output: only files and block devices keep')
    expect(ended.stderr).toContain(`leave out ${option}`)
  })

  it('with another image under the same image id ends in a digest mismatch, and does not try that twice', async () => {
    writeNoise(at('image'), 10)
    await leaveUnfinished('--image-id', 'golden')
    writeNoise(at('image'), 11)
    const network = loopback()
    const resumed = receive(network, '--resume')
    const sent = start('send', [...network, '--json', '--image-id', 'golden', at('image')])
    const ended = await resumed.ended
    await sent.ended
    expect([ended.status, errorOf(ended)?.['code']]).toEqual([5, 'DIGEST_MISMATCH'])
    expect(existsSync(at('copy.skilfish'))).toBe(false)
    expect(readFileSync(at('copy')).toString('latin1', 0, 25)).toBe('SKILFISH INCOMPLETE IMAGE')
  })
})

describe('a sender that was killed (kill -9) and started again', () => {
  it('sends the receivers that still wait what they miss, and no more', async () => {
    writeNoise(at('image'), 13)
    const network = loopback()
    const paths = [at('copy'), at('other')]
    const receivers = paths.map((path) => start('recv', [...network, '--json', path]))
    const first = sendSlowly(network, '--min-receivers', '2')
    await Promise.all([
      ...paths.map((path) => untilJournalGrows(`${path}.skilfish`)),
      // From 20 percent on.
      ...receivers.map((receiver) => receiver.says(/"percent":[2-9]\d/)),
    ])
    first.process.kill('SIGKILL')
    await first.ended
    const again = ['--json', '--min-receivers', '2', '--start-timeout', '20']
    const sent = await start('send', [...network, ...again, at('image')]).ended
    const ended = await Promise.all(receivers.map((receiver) => receiver.ended))
    expect([sent, ...ended].map(({ status }) => status)).toEqual([0, 0, 0])
    for (const path of paths) expect(readFileSync(path).equals(readFileSync(at('image')))).toBe(true)
    // Both had a fifth of the image by then.
    expect(wireBytesOf(sent)).toBeLessThan(0.9 * IMAGE_BYTES)
  })
})

describe('a receiver with a group key and a key to verify', () => {
  const makeKeys = async (): Promise<void> => {
    await start('keygen', [at('group.key')]).ended
    await start('keygen', ['--sign', at('golden.key')]).ended
  }
  const sends = (): string[] => ['--key-file', at('group.key'), '--sign-key', at('golden.key')]
  const takes = (): string[] => ['--key-file', at('group.key'), '--verify-key', at('golden.key.pub')]

  it('goes on with --resume, with the sender that runs and with one that was started again', async () => {
    writeNoise(at('image'), 11)
    await makeKeys()
    const network = loopback()
    const first = sendSlowly(network, ...sends())
    await killInTheMiddle(receive(network, ...takes()))
    const second = receive(network, '--resume', ...takes())
    await second.says('going on: ')
    await killInTheMiddle(second)
    first.process.kill('SIGKILL')
    await first.ended
    const last = receive(network, '--resume', ...takes())
    const sent = await start('send', [...network, '--json', ...sends(), at('image')]).ended
    const ended = await last.ended
    expect([ended.status, sent.status], ended.stderr).toEqual([0, 0])
    expect(isCopy()).toBe(true)
    expect(resultOf(ended)).toMatchObject({ rootDigest: resultOf(sent)['rootDigest'] })
    expect(resultOf(ended)['resumedBytes']).toBeGreaterThan(MIB)
    const checked = await start('recv', ['--verify', at('copy')]).ended
    expect(checked.status, checked.stderr).toBe(0)
  })

  it('does not go on with a session that lacks them: target and journal stay', async () => {
    writeNoise(at('image'), 12)
    await makeKeys()
    await leaveUnfinished()
    const journal = readFileSync(at('copy.skilfish'))
    const network = loopback()
    const sender = sendSlowly(network)
    const refused = await receive(network, '--resume', ...takes()).ended
    sender.process.kill('SIGKILL')
    expect([refused.status, errorOf(refused)?.['code']]).toEqual([8, 'SESSION_UNTRUSTED'])
    expect(readFileSync(at('copy.skilfish')).equals(journal)).toBe(true)
    await sender.ended
  })
})

it('a journal that is asked for and cannot be made is refused before a sender is heard', async () => {
  const journals = [at('.'), at('nowhere/journal'), at('copy')]
  for (const journal of journals) {
    const ended = await receive(loopback(), '--journal', journal).ended
    expect([ended.status, String(errorOf(ended)?.['message'])]).toEqual([5, expect.stringContaining(journal)])
  }
  expect(existsSync(at('copy'))).toBe(false)
})

it('a journal that is no journal is left alone', async () => {
  writeNoise(at('image'), 12)
  writeFileSync(at('copy.skilfish'), 'a letter')
  const network = loopback()
  const receiver = receive(network)
  await start('send', [...network, '--json', at('image')]).ended
  const ended = await receiver.ended
  expect(ended.status).toBe(0)
  expect(logOf(ended)).toContain('there will be no journal: ')
  expect([isCopy(), readFileSync(at('copy.skilfish'), 'utf8')]).toEqual([true, 'a letter'])
  const asked = await receive(loopback(), '--resume').ended
  expect([asked.status, errorOf(asked)?.['code']]).toEqual([5, 'JOURNAL_REFUSED'])
})
