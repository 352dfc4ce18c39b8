import { expect, it } from 'vitest'
import {
  describePacket,
  encodeControl,
  encodeDataFieldsInto,
  encodePrefixInto,
  encodeRefusal,
  PacketType,
} from '../../../src/protocol/index.ts'
import { ABORT, ANNOUNCE, DONE, LARGEST, RECEIVER, SAMPLES, SESSION, TAG } from './sample-messages.ts'

const IDENTITY = 'session=0123456789abcdef tag=feedf00d'

it('describes a data packet', () => {
  const bytes = new Uint8Array(1472)
  encodePrefixInto(bytes, 0, PacketType.data, SESSION, TAG)
  encodeDataFieldsInto(bytes, 0, 812, 262_208, 183)
  expect(describePacket(bytes)).toBe(`data ${IDENTITY} slice=812 symbol=183 frame=262208 payload=1448`)
})

it('describes control messages', () => {
  const lines = SAMPLES.map((message) => describePacket(encodeControl(message, SESSION, TAG)))
  expect(lines.map((line) => line.replace(` ${IDENTITY}`, ''))).toEqual([
    'announce image="disk-7" name="Disk 7" bytes=1099511627776 slice=262144 packet=1472 codec=1 phase=sending begun=812 ' +
      'grttUs=5000 group=12 reportMs=100 timeoutMs=30000 joinLimit=65536 sentAtUs=4000000000 bitsPerSec=9400000000 expected=1640',
    'join receiver=fffffffe80000001 name="node-1"',
    'join receiver=fffffffe80000001 name="node-1" settled=[0+811 815+3]',
    'join-ack receivers=[fffffffe80000001 0000000000000001]',
    'report receiver=fffffffe80000001 name="node-1" settled=800 below=790 received=18200 lost=3 queue=100% ' +
      'echoUs=4000000000 heldUs=70000',
    'nack receiver=fffffffe80000001 deficits=[0:3/182 812:255/0] missing=[813+7]',
    'repair-echo pending=[0:3] deferred=[4+2]',
    'end slices=4000 bytes=1099511627776 data=1048576000 ' +
      'root=000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f closing=true',
    'done receiver=fffffffe80000001 name="node-1"',
    'done-ack receivers=[fffffffe80000001]',
    'leave receiver=fffffffe80000001 name="node-1" reason="disk full"',
    'abort receiver=all reason=sender-failed text="the disk failed"',
    'challenge nonce=fffffffe80000001',
    'proof nonces=[fffffffe80000001 0123456789abcdef]',
  ])
})

it('describes what may be left out', () => {
  const describe = (message: typeof ANNOUNCE | typeof ABORT): string =>
    describePacket(encodeControl(message, SESSION, TAG))
  expect(describe({ ...ANNOUNCE, imageBytes: undefined })).toContain(' bytes=unknown ')
  expect(describe({ ...ABORT, receiver: RECEIVER })).toContain(' receiver=fffffffe80000001 ')
})

it('keeps the largest messages on one line', () => {
  for (const message of LARGEST) expect(describePacket(encodeControl(message, SESSION, TAG))).not.toMatch(/\s{2}|\n/)
})

it('describes a refusal', () => {
  expect(describePacket(encodeRefusal(SESSION))).toBe('refusal session=0123456789abcdef tag=00000000 versions=1..1')
})

it('describes what is no packet', () => {
  const packet = encodeControl(DONE, SESSION, TAG)
  expect(describePacket(new Uint8Array())).toBe('too-short bytes=0')
  expect(describePacket(packet.with(0, 0))).toBe('not-ours bytes=37')
  expect(describePacket(packet.with(2, 9))).toBe('other-version version=9 bytes=37')
  expect(describePacket(packet.with(3, 9))).toBe('unknown-type bytes=37')
  expect(describePacket(packet.subarray(0, 20))).toBe(`control-malformed ${IDENTITY} bytes=20`)
  expect(describePacket(packet.with(16, 9))).toBe(`control-limits ${IDENTITY} bytes=37`)
})
