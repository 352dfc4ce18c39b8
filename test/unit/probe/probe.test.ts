import { describe, expect, it } from 'vitest'
import { parseProbeCommand } from '../../../src/cli/probe-command.ts'
import { adviceOf, type PathFindings, type ProbeResult } from '../../../src/probe/index.ts'
import { decodePacket, encodeFiller, encodeWord, type Answer } from '../../../src/probe/messages.ts'

const ANSWER: Answer = {
  ...{ kind: 'answer', number: 3, listener: 'ab', name: 'host', longestBytes: 1472, streamCount: 9, droppedCount: 0 },
  recvBufferBytes: 8_388_608,
}

describe('packets of a probe', () => {
  it('are read back', () => {
    for (const word of [{ kind: 'hello', number: 1 } as const, ANSWER, { ...ANSWER, diskBytesPerSec: 7 }]) {
      expect(decodePacket(encodeWord('0123abcd', word))).toEqual({ probe: '0123abcd', word })
    }
    const filler = { probe: '0123abcd', filler: 'stream', lengthBytes: 1472 }
    expect(decodePacket(encodeFiller('0123abcd', 'stream', 1472))).toEqual(filler)
  })

  it.each([
    ['empty', ''],
    ['of a session', 'Sk\u0001\u00010123456789abcdef'],
    ['without a word', 'SKPROBE10123abcd'],
    ['no JSON', 'SKPROBE10123abcd{"kind"'],
    ['JSON of another kind', 'SKPROBE10123abcdnull '],
    ['a kind that is none', 'SKPROBE10123abcd{"kind":"x","number":1}'],
    ['an answer that lacks something', 'SKPROBE10123abcd{"kind":"answer","number":1,"listener":"a"}'],
    ['a negative number', 'SKPROBE10123abcd{"kind":"hello","number":-1}'],
    [
      'a name that would take another line',
      new TextDecoder().decode(encodeWord('0123abcd', { ...ANSWER, name: 'a\nb' })),
    ],
    ['too long', `SKPROBE10123abcd{"kind":"hello","number":1}${' '.repeat(600)}`],
    ['filler for nothing known', 'SKPROBE10123abcd\u0000\u0009'],
  ])('are dropped when they are %s', (_, text) => {
    expect(decodePacket(new TextEncoder().encode(text))).toBeUndefined()
  })
})

const PATH: PathFindings = {
  ...{ name: 'node', address: '10.0.0.2', roundTripMs: 1, mtuBytes: 1500, receivedCount: 1000, droppedCount: 0 },
  ...{ recvBufferBytes: 8_388_608, diskBytesPerSec: 500e6 },
}
const RESULT: ProbeResult = {
  ...{ mtuBytes: 1500, bitrate: 100e6, sentCount: 1000, sentBitsPerSec: 100e6, sendBufferBytes: 4_194_304 },
  listeners: [PATH],
}
const adviceFor = (path: Partial<PathFindings>): string[] => adviceOf({ ...RESULT, listeners: [{ ...PATH, ...path }] })

describe('advice', () => {
  it('is none where all is well', () => {
    expect(adviceOf(RESULT)).toEqual([])
  })

  it.each([
    ['small packets only', { mtuBytes: 1400 }, 'send with --mtu 1400'],
    ['no filler at all', { mtuBytes: undefined }, 'firewall'],
    ['loss on the way', { receivedCount: 950 }, 'node lost 5 % at 100 Mbit/s, on the way'],
    ['loss at its socket', { receivedCount: 950, droppedCount: 40 }, 'because its socket was full'],
    ['a small buffer', { recvBufferBytes: 212_992 }, 'net.core.rmem_max=8388608'],
    ['a long way', { roundTripMs: 40 }, '40 ms'],
    ['a slow disk', { diskBytesPerSec: 5e6 }, 'writes 40 Mbit/s'],
  ])('is given for %s', (_, path, words) => {
    expect(adviceFor(path)).toEqual([expect.stringContaining(words)])
  })

  it('is given for the sender', () => {
    expect(adviceOf({ ...RESULT, sendBufferBytes: 212_992 })).toEqual([expect.stringContaining('net.core.wmem_max')])
    expect(adviceOf({ ...RESULT, sentBitsPerSec: 50e6 })).toEqual([expect.stringContaining('50 Mbit/s of 100 Mbit/s')])
  })
})

describe('the arguments', () => {
  it('are for one end or the other', () => {
    expect(parseProbeCommand(['--listen', '--disk', '/tmp'])).toMatchObject({ listen: { disk: '/tmp' } })
    expect(parseProbeCommand(['--bitrate', '20M', '--mtu', '1400'])).toMatchObject({
      probe: { bitrate: 20e6, mtuBytes: 1400 },
    })
    expect(() => parseProbeCommand(['--listen', '--ttl', '3'])).toThrow('cannot use --ttl together with --listen')
    expect(() => parseProbeCommand(['--disk', '/tmp'])).toThrow('cannot use --disk without --listen')
  })
})
