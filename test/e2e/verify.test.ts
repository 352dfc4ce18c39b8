import { generateKeyPairSync } from 'node:crypto'
import { existsSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import type * as skilfish from '../../src/index.ts'
import { seededRandom } from '../../src/random.ts'
import { DIST, loopback, messages, start, useFolder, type Ended } from './programs.ts'

const MIB = 1024 * 1024

const at = useFolder()
const kept = (): string => at('copy.skilfish-fingerprint')
const verify = (...args: readonly string[]): Promise<Ended> => start('recv', ['--verify', '--json', ...args]).ended
const codeOf = ({ status, stdout }: Ended): unknown[] => [status, messages(stdout, 'error')[0]?.['code']]

/** 3 MiB of noise, then a hole, then a page and a half. */
function writeImage(path: string, seed = 1): void {
  const random = seededRandom(seed)
  const image = Buffer.alloc(8 * MIB)
  for (let at = 0; at < 3 * MIB; at++) image[at] = Math.floor(random() * 256)
  image.fill(0x5a, 7 * MIB, 7 * MIB + 6000)
  writeFileSync(path, image.subarray(0, 8 * MIB - 100))
}

/** Transfers an image. @returns the receiver's result */
async function transfer(
  send: readonly string[] = [],
  receive: readonly string[] = [],
): Promise<Record<string, unknown>> {
  const network = loopback()
  const receiver = start('recv', [...network, '--json', ...receive, at('copy')])
  const sent = await start('send', [...network, '--json', ...send, at('image')]).ended
  const received = await receiver.ended
  expect([sent.status, received.status], received.stderr).toEqual([0, 0])
  return messages(received.stdout, 'result')[0]!
}

/** Changes one byte. */
function flip(path: string, offset: number): void {
  const bytes = readFileSync(path)
  bytes[offset]! ^= 1
  writeFileSync(path, bytes)
}

describe('--verify', () => {
  it('finds a copy right, and changes nothing', async () => {
    writeImage(at('image'))
    const { rootDigest, fingerprint } = await transfer()
    expect(fingerprint).toMatch(/^gmac:/)
    expect(readFileSync(kept(), 'utf8')).toBe(`${String(fingerprint)}\n`)
    const before = readFileSync(at('copy'))
    const checked = await verify(at('copy'))
    expect(checked.status, checked.stderr).toBe(0)
    const wanted = { rootDigest, imageBytes: 8 * MIB - 100, dataBytes: 3 * MIB + 8192 }
    expect(messages(checked.stdout, 'result')).toMatchObject([wanted])
    expect(readFileSync(at('copy')).equals(before)).toBe(true)
    // For people.
    const { status, stderr } = await start('recv', ['--verify', at('copy')]).ended
    expect([status, stderr]).toEqual([0, expect.stringContaining('is what was received, to the last byte')])
  })

  it('goes by SHA-256 after a signed session', async () => {
    writeImage(at('image'))
    const { privateKey, publicKey } = generateKeyPairSync('ed25519')
    writeFileSync(at('sign.pem'), privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 })
    writeFileSync(at('verify.pem'), publicKey.export({ type: 'spki', format: 'pem' }))
    const keys = [
      ['--sign-key', at('sign.pem')],
      ['--verify-key', at('verify.pem')],
    ] as const
    const { rootDigest, fingerprint } = await transfer(...keys)
    expect(fingerprint).toMatch(/^sha256:/)
    expect(messages((await verify(at('copy'))).stdout, 'result')).toMatchObject([{ rootDigest }])
    flip(at('copy'), 2 * MIB)
    expect(codeOf(await verify(at('copy')))).toEqual([5, 'TARGET_DIFFERS'])
  })

  it('finds one byte that differs, wherever it is, and a copy of another size', async () => {
    writeImage(at('image'))
    await transfer()
    for (const offset of [0, 2 * MIB, 5 * MIB, 7 * MIB + 5999, 8 * MIB - 101]) {
      flip(at('copy'), offset)
      expect(codeOf(await verify(at('copy'))), `byte ${offset}`).toEqual([5, 'TARGET_DIFFERS'])
      flip(at('copy'), offset)
    }
    expect((await verify(at('copy'))).status).toBe(0)
    truncateSync(at('copy'), 8 * MIB)
    const longer = await verify(at('copy'))
    expect(codeOf(longer)).toEqual([5, 'TARGET_DIFFERS'])
    expect(String(messages(longer.stdout, 'error')[0]?.['message'])).toContain('8388608 bytes')
  })

  it('takes a fingerprint that is given, as for a device, and refuses to go without one', async () => {
    writeImage(at('image'))
    const fingerprint = String((await transfer())['fingerprint'])
    writeFileSync(
      kept(),
      fingerprint.replace(/.$/, (digit) => (digit === '0' ? '1' : '0')),
    )
    expect(codeOf(await verify(at('copy')))).toEqual([5, 'FINGERPRINT_MISSING'])
    rmSync(kept())
    expect(codeOf(await verify(at('copy')))).toEqual([5, 'FINGERPRINT_MISSING'])
    expect((await verify('--fingerprint', fingerprint, at('copy'))).status).toBe(0)
    expect(codeOf(await verify('--fingerprint', fingerprint.slice(1), at('copy')))).toEqual([2, 'OPTION_INVALID'])
    writeImage(at('other'), 2)
    expect(codeOf(await verify('--fingerprint', fingerprint, at('other')))).toEqual([5, 'TARGET_DIFFERS'])
  })

  it('refuses a target that is not complete, whatever was kept of the one before', async () => {
    writeImage(at('image'))
    const fingerprint = String((await transfer())['fingerprint'])
    const network = loopback()
    const receiver = start('recv', [...network, '--json', at('copy')])
    const sender = start('send', [...network, '--json', '--max-bitrate', '2M', at('image')])
    await receiver.says('"phase":"receiving"')
    receiver.process.kill('SIGKILL')
    sender.process.kill('SIGKILL')
    await Promise.all([receiver.ended, sender.ended])
    expect(existsSync(kept())).toBe(false)
    const refused = await verify('--fingerprint', fingerprint, at('copy'))
    expect(codeOf(refused)).toEqual([5, 'TARGET_UNFINISHED'])
    expect(String(messages(refused.stdout, 'error')[0]?.['message'])).toContain('go on with --resume')
  })

  it('refuses what cannot be read twice, and what is not there', async () => {
    expect(codeOf(await verify('-'))).toEqual([5, 'TARGET_UNSUPPORTED'])
    expect(codeOf(await verify('/dev/null'))).toEqual([5, 'TARGET_UNSUPPORTED'])
    const folder = await verify(at('.'))
    expect(String(messages(folder.stdout, 'error')[0]?.['message'])).toMatch(/^cannot verify .*: it is neither a file/)
    expect(codeOf(await verify(at('nothing')))).toEqual([5, 'SOURCE_NOT_FOUND'])
  })

  it('is for every way in which an image was sent: encrypted, in other slices, from a pipe', async () => {
    writeImage(at('image'))
    await start('keygen', [at('group.key')]).ended
    const key = ['--key-file', at('group.key')]
    const first = await transfer([...key, '--slice-size', '64K'], key)
    expect((await verify(at('copy'))).status).toBe(0)
    const network = loopback()
    const receiver = start('recv', [...network, '--json', at('copy')])
    const sender = start('send', [...network, '--json', '--slice-size', '64K', '-'])
    sender.process.stdin!.end(readFileSync(at('image')))
    const [received] = await Promise.all([receiver.ended, sender.ended])
    expect(messages(received.stdout, 'result')).toMatchObject([{ fingerprint: first['fingerprint'] }])
  })

  it('has nothing to go by where a source tells runs of zeros: no fingerprint is kept', async () => {
    const { send, receive } = (await import(join(DIST, 'index.js'))) as typeof skilfish
    const [, address, , group] = loopback()
    const network = { interface: address!, group: group! }
    const source = {
      ...{ label: 'made up', sizeBytes: MIB },
      async *extents() {
        yield { offset: 0, data: new Uint8Array(4096).fill(1) }
        await Promise.resolve()
        yield { offset: 8192, zeroBytes: 8192 }
      },
    }
    const received = receive({ ...network, target: at('copy') }).finished
    await send({ ...network, source }).finished
    const { fingerprint, rootDigest } = await received
    expect([fingerprint, rootDigest.length, existsSync(kept())]).toEqual([undefined, 64, false])
  })
})
