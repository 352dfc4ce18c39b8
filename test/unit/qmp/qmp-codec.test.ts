import { describe, expect, it } from 'vitest'
import { encodeQmpCommand, MAX_MESSAGE_BYTES, QmpReader, type QmpMessage } from '../../../src/qmp/index.ts'
import { GREETING } from './fake-qemu.ts'

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)

function read(...chunks: readonly Uint8Array[]): QmpMessage[] {
  const reader = new QmpReader()
  const messages: QmpMessage[] = []
  for (const chunk of chunks) {
    reader.push(chunk)
    for (let message = reader.poll(); message !== undefined; message = reader.poll()) messages.push(message)
  }
  return messages
}

const STREAM = [
  JSON.stringify(GREETING),
  '{"return": {}, "id": 1}',
  '',
  '{"id": 2, "error": {"class": "GenericError", "desc": "Näh"}}',
  '{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "STOP"}',
  '{"event": "JOB_STATUS_CHANGE", "data": {"status": "created", "id": "j"}, "timestamp": {}}',
  '{"error": {"class": "GenericError", "desc": "JSON parse error"}}',
]
  .map((line) => `${line}\r\n`)
  .join('')

const MESSAGES: readonly QmpMessage[] = [
  { kind: 'greeting', version: [7, 2, 22], capabilities: ['oob'] },
  { kind: 'success', id: 1, value: {} },
  { kind: 'refusal', id: 2, reason: 'GenericError', text: 'Näh' },
  { kind: 'event', name: 'STOP', data: {} },
  { kind: 'event', name: 'JOB_STATUS_CHANGE', data: { status: 'created', id: 'j' } },
  { kind: 'refusal', id: undefined, reason: 'GenericError', text: 'JSON parse error' },
]

describe('the reader of QMP', () => {
  it('yields the same messages however the bytes are split', () => {
    const all = bytes(STREAM)
    expect(read(all)).toEqual(MESSAGES)
    expect(read(...Array.from(all, (byte) => Uint8Array.of(byte)))).toEqual(MESSAGES)
    for (let cut = 0; cut <= all.length; cut++) expect(read(all.subarray(0, cut), all.subarray(cut))).toEqual(MESSAGES)
  })

  it('takes a message of the greatest length, and no longer one', () => {
    const message = (lengthBytes: number): Uint8Array => {
      const [head, tail] = ['{"id":1,"return":"', '"}\n']
      return bytes(head + 'x'.repeat(lengthBytes - head.length - tail.length) + tail)
    }
    const pieces = (whole: Uint8Array): Uint8Array[] => [whole.subarray(0, 1_000_000), whole.subarray(1_000_000)]
    expect(read(...pieces(message(MAX_MESSAGE_BYTES))).length).toBe(1)
    expect(() => read(...pieces(message(MAX_MESSAGE_BYTES + 1)))).toThrow(
      'byte 0: a message of more than 4194304 bytes',
    )
    expect(() => read(bytes('{}'.repeat(MAX_MESSAGE_BYTES)))).toThrow('a message of more than 4194304 bytes')
  })

  it.each([
    ['no JSON', 'QEMU\n'],
    ['no object', '[]\n'],
    ['an object of nothing known', '{"hello": 1}\n'],
    ['a reply without an id', '{"return": {}}\n'],
    ['an id that we did not make', '{"return": {}, "id": "one"}\n'],
    ['a refusal without a reason', '{"error": {"desc": "x"}, "id": 1}\n'],
    ['an event with other data', '{"event": "STOP", "data": 1}\n'],
    ['a greeting without a version', '{"QMP": {"capabilities": []}}\n'],
    ['a greeting with a version in text', '{"QMP": {"version": {"qemu": {"major": "7"}}, "capabilities": []}}\n'],
    ['a greeting without capabilities', '{"QMP": {"version": {"qemu": {"major": 7, "minor": 2, "micro": 0}}}}\n'],
  ])('refuses %s, and tells where', (_what, line) => {
    const before = '{"event": "STOP"}\n\n'
    const text = new RegExp(
      `^cannot read what QEMU sends: byte ${before.length}: .*; expected a greeting, a reply or an event`,
    )
    expect(() => read(bytes(before + line))).toThrow(text)
  })

  it('refuses what is no UTF-8', () => {
    expect(() => read(Uint8Array.of(0x22, 0xc3, 0x22, 0x0a))).toThrow('a line that is no UTF-8')
  })
})

it('writes commands, in and out of band', () => {
  const decode = (line: Uint8Array): unknown => JSON.parse(new TextDecoder().decode(line))
  expect(decode(encodeQmpCommand(3, 'stop', {}, false))).toEqual({ execute: 'stop', arguments: {}, id: 3 })
  const line = encodeQmpCommand(4, 'yank', { text: 'two\nlines' }, true)
  expect(decode(line)).toEqual({ 'exec-oob': 'yank', arguments: { text: 'two\nlines' }, id: 4 })
  expect(line.filter((byte) => byte === 0x0a)).toEqual(Uint8Array.of(0x0a))
})
