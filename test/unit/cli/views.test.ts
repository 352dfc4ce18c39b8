import { describe, expect, it } from 'vitest'
import { receiveOutcome, receiveUpdate } from '../../../src/cli/receive-view.ts'
import { sendOutcome, sendUpdate } from '../../../src/cli/send-view.ts'
import type { ReceiveProgress, ReceiveResult } from '../../../src/receiver/index.ts'
import type { ReceiverView, SendProgress, SendResult } from '../../../src/sender/index.ts'

const MIB = 1024 * 1024
const WAIT = { minReceivers: 3, isKeyHeard: true }

const SENDER_STATS: SendProgress['stats'] = {
  ...{ phase: 'sending', wireBytes: 90 * MIB, packets: 64_000, sourceSymbols: 60_000, proactiveSymbols: 0 },
  ...{ paritySymbols: 1200, resentSymbols: 0, controlPackets: 100, slicesBegun: 400, slicesTotal: undefined },
  ...{
    slicesDeferred: 0,
    slicesSpared: 0,
    nacks: 20,
    malformedPackets: 0,
    foreignPackets: 0,
    forgedPackets: 0,
    rateBitsPerSec: 3e8,
    grttUs: 5000,
  },
}

const receiver = (name: string, rest: Partial<ReceiverView> = {}): ReceiverView => ({
  ...{ id: name, name, address: '10.0.0.7', state: 'live', reason: '', settledCount: 390, lossRatio: 0.01 },
  ...rest,
})

const SEND_PROGRESS: SendProgress = {
  ...{ phase: 'sending', elapsedMs: 4000, positionBytes: 100 * MIB, imageBytes: 400 * MIB, percent: 25, etaMs: 12_000 },
  ...{ stats: SENDER_STATS, receivers: [receiver('a'), receiver('b', { settledCount: 200, lossRatio: 0.03 })] },
}

const SOCKET = {
  offload: false,
  offloadNote: 'switched off',
  batches: true,
  recvBufferBytes: 8 * MIB,
  sendBufferBytes: 4 * MIB,
}

const SEND_RESULT: SendResult = {
  ...{ imageId: 'id', imageName: 'debian.img', sessionId: '00ff', imageBytes: 400 * MIB, dataBytes: 100 * MIB },
  ...{ holeBytes: 300 * MIB, frameBytes: 80 * MIB, sliceCount: 400, rootDigest: 'abcd', elapsedMs: 9000 },
  ...{ transferMs: 8000, stats: SENDER_STATS, socket: SOCKET },
  receivers: [receiver('a', { state: 'done' }), receiver('b', { state: 'dropped', reason: 'silent for 30 s' })],
}

describe('what the sender shows', () => {
  it('is who has come, while it waits, and that a key starts it', () => {
    const update = sendUpdate({ ...SEND_PROGRESS, phase: 'gathering' }, 0, WAIT)
    expect(update).toMatchObject({
      phase: 'waiting for receivers',
      percent: undefined,
      facts: ['2 of 3 came', '4 s'],
    })
    expect(update.details).toEqual(['press any key to start now'])
    expect(sendUpdate({ ...SEND_PROGRESS, phase: 'gathering' }, 0, { ...WAIT, isKeyHeard: false }).details).toEqual([])
  })

  it('is position, rate, time left, mean loss, repairs and the slowest receiver', () => {
    const update = sendUpdate(SEND_PROGRESS, 187e6, WAIT)
    expect(update.facts).toEqual(['100 MiB of 400 MiB', '187 Mbit/s', 'ETA 12 s'])
    expect(update.details).toEqual(['loss 2 %', 'repairs 2 %', '2 receivers', 'slowest b at 50 %'])
  })

  it('counts those that are no longer live, and measures against the whole once that is known', () => {
    const receivers = [
      receiver('a', { state: 'done' }),
      receiver('b', { state: 'dropped' }),
      receiver('host-with-a-very-long-name', { settledCount: 380 }),
    ]
    const stats = { ...SENDER_STATS, slicesTotal: 1000 }
    const progress = { ...SEND_PROGRESS, percent: undefined, imageBytes: undefined, etaMs: undefined, receivers, stats }
    const update = sendUpdate(progress, 0, WAIT)
    expect(update.facts).toEqual(['100 MiB', '0 bit/s'])
    expect(update.details.slice(2)).toEqual(['1 receiver, 1 done, 1 dropped', 'slowest host-with-a-very-lo… at 38 %'])
    expect(sendUpdate({ ...progress, receivers: [] }, 0, WAIT).details).toEqual(['loss 0 %', 'repairs 2 %'])
  })

  it('is in the end what was sent, saved and repaired, and who failed', () => {
    const { raw, summary } = sendOutcome(SEND_RESULT, false)
    expect(raw).toBe(SEND_RESULT)
    expect(summary).toEqual([
      'debian.img: sent to 1 receiver in 8 s',
      '  image        400 MiB',
      '  data         100 MiB, 300 MiB of holes and zeros not sent',
      '  compressed   80 MiB; 20 % saved',
      '  on the wire  90 MiB in 64000 packets at 94.4 Mbit/s',
      '  repairs      2 % by parity',
      '  receivers    1 complete, 1 not',
      '               b (10.0.0.7) silent for 30 s',
    ])
  })

  it('tells what was not read, apart from holes, and when compression has saved nothing', () => {
    const failed = { ...SEND_RESULT, dataBytes: 100 * MIB, holeBytes: 50 * MIB, frameBytes: 100 * MIB + 65 }
    const { summary } = sendOutcome(failed, false)
    expect(summary).toContain('  data         100 MiB, 50 MiB of holes and zeros not sent; 250 MiB not read')
    expect(summary).toContain('  compressed   100 MiB; nothing saved')
  })

  it('names fifty of those that failed and counts the rest', () => {
    const receivers = Array.from({ length: 60 }, (_, index) => receiver(`host${index}`, { state: 'left' }))
    const { summary } = sendOutcome({ ...SEND_RESULT, receivers }, false)
    expect(summary.at(-2)).toContain('host49 (10.0.0.7) left')
    expect(summary.at(-1)).toContain('and 10 more')
  })

  it('has all counters where they are asked for', () => {
    const { summary } = sendOutcome({ ...SEND_RESULT, receivers: [] }, true)
    expect(summary.join('\n')).toMatch(/image id +id\n.*session +00ff\n.*root digest +abcd\n.*slices +400, 0 deferred/)
    expect(summary.join('\n')).toMatch(/offload +switched off\n.*messages +many in a system call\n.*send buffer +4 MiB/)
  })

  it('says so when no repair was needed and when there was no time to measure', () => {
    const stats = { ...SENDER_STATS, paritySymbols: 0 }
    const { summary } = sendOutcome(
      { ...SEND_RESULT, imageBytes: 100 * MIB, stats, transferMs: 0, holeBytes: 0 },
      false,
    )
    expect(summary).toContain('  data         100 MiB, no holes')
    expect(summary).toContain('  on the wire  90 MiB in 64000 packets')
    expect(summary).toContain('  repairs      none needed')
  })
})

const RECEIVER_STATS: ReceiveProgress['stats'] = {
  ...{ packets: 980, bytes: 50 * MIB, duplicatePackets: 3, lostPackets: 20, parityUsed: 19, slicesBegun: 7 },
  ...{
    slicesSettled: 6,
    slicesTotal: undefined,
    slicesExpected: undefined,
    nacksSent: 2,
    nacksSuppressed: 1,
    foreignPackets: 0,
  },
  ...{ malformedPackets: 0, forgedPackets: 0, rejectedSlices: 0, droppedForBuffers: 0, queuePercent: 10 },
}

const RECEIVE_PROGRESS: ReceiveProgress = {
  ...{ phase: 'receiving', elapsedMs: 4000, imageName: 'debian.img', positionBytes: 100 * MIB, imageBytes: 400 * MIB },
  ...{ resumedBytes: 0, percent: 25, etaMs: 12_000, rateBitsPerSec: 187e6, stats: RECEIVER_STATS },
}

describe('what a receiver shows', () => {
  it('is that it waits', () => {
    const update = receiveUpdate({ ...RECEIVE_PROGRESS, phase: 'waiting' })
    expect(update).toMatchObject({ phase: 'waiting for a sender', percent: undefined, facts: ['4 s'], details: [] })
  })

  it('is position, rate, time left, loss and what was rebuilt', () => {
    const update = receiveUpdate(RECEIVE_PROGRESS)
    expect(update).toMatchObject({ phase: 'receiving', percent: 25 })
    expect(update.facts).toEqual(['100 MiB of 400 MiB', '187 Mbit/s', 'ETA 12 s'])
    expect(update.details).toEqual(['loss 2 %', '19 packets rebuilt'])
  })

  it('is that its own disk is what holds it up', () => {
    const stats = { ...RECEIVER_STATS, parityUsed: 0, queuePercent: 80 }
    expect(receiveUpdate({ ...RECEIVE_PROGRESS, stats }).details).toEqual(['loss 2 %', 'buffers 80 % full'])
  })

  it('is in the end what was received, and where it is', () => {
    const result: ReceiveResult = {
      ...{ imageId: 'id', imageName: 'debian.img', sessionId: '00ff', imageBytes: 400 * MIB, dataBytes: 100 * MIB },
      ...{
        sliceCount: 400,
        resumedBytes: 0,
        resumedSliceCount: 0,
        rootDigest: 'abcd',
        elapsedMs: 9000,
        transferMs: 8000,
        stats: RECEIVER_STATS,
        socket: SOCKET,
      },
    }
    expect(receiveOutcome(result, '/dev/sda', false)).toEqual({
      raw: result,
      summary: [
        'debian.img: complete, verified and written in 8 s',
        '  target       /dev/sda',
        '  image        400 MiB; 100 MiB of data, the rest is zeros',
        '  received     50 MiB in 980 packets at 52.4 Mbit/s',
        '  lost         2 %; 19 packets rebuilt from parity',
        '  root digest  abcd',
      ],
    })
    expect(receiveOutcome({ ...result, resumedBytes: 30 * MIB }, '/dev/sda', false).summary).toContain(
      '  resumed      30 MiB were there from before',
    )
    const verbose = receiveOutcome(result, '-', true).summary.join('\n')
    expect(verbose).toContain('target          standard output')
    expect(verbose).toMatch(/feedback +2 NACKs sent, 1 suppressed/)
  })
})
