import { describe, expect, test } from 'vitest'
import {
  FEEDBACK_PER_SEC,
  JOIN_DRAW_COUNT,
  JOINS_PER_SEC,
  MAX_RECEIVER_COUNT,
  REPORTS_PER_SEC,
} from '../../../src/protocol/index.ts'
import { seededRandom } from '../../../src/random.ts'
import { JoinGate } from '../../../src/sender/machine/join-gate.ts'

const BURST = 64
const STEP_US = 50_000
const SECONDS = 10

/** Closes a gate at time 0 by one Join more than it bears. */
function closedGate(): JoinGate {
  const gate = new JoinGate(0, 1)
  for (let joined = 0; joined < BURST; joined++) gate.noteJoin(0)
  expect(gate.noteJoin(0)).toBe(true)
  return gate
}

/**
 * How many more join by each step after the gate has closed, when so many wait and come as soon as they may.
 * @param feedbackCount what else is heard between two steps
 */
function joinsOf(gate: JoinGate, waitingCount: number, stepCount: number, feedbackCount = 0): number[] {
  const random = seededRandom(waitingCount)
  const draws = Array.from({ length: waitingCount }, () => Math.floor(random() * JOIN_DRAW_COUNT)).sort((a, b) => a - b)
  let joinedCount = 0
  return Array.from({ length: stepCount }, (_, index) => {
    const nowUs = index * STEP_US
    for (; joinedCount < waitingCount && draws[joinedCount]! < gate.limit; joinedCount++) gate.noteJoin(nowUs)
    for (let heard = 1; heard <= feedbackCount; heard++)
      gate.noteFeedback(nowUs - STEP_US + (heard * STEP_US) / feedbackCount)
    gate.step(nowUs)
    return joinedCount
  })
}

describe('the join gate', () => {
  test('is open for few, however often they come', () => {
    const gate = new JoinGate(0, 1)
    for (let nowUs = 0; nowUs < 10_000_000; nowUs += 10_000) {
      for (let joined = 0; joined < 3; joined++) gate.noteJoin(nowUs)
      gate.step(nowUs)
    }
    expect(gate.limit).toBe(JOIN_DRAW_COUNT)
    expect(gate.settledUs).toBe(-Infinity)
  })

  test('closes for a crowd, once', () => {
    const gate = closedGate()
    expect(gate.limit).toBe((JOIN_DRAW_COUNT * BURST) / MAX_RECEIVER_COUNT)
    expect(gate.settledUs).toBe(Infinity)
    expect(gate.noteJoin(0)).toBe(false)
  })

  test('closes after as many receivers when each says two messages to come in', () => {
    const gate = new JoinGate(0, 2)
    for (let noted = 0; noted < 2 * BURST; noted++) expect(gate.noteJoin(0)).toBe(false)
    expect(gate.noteJoin(0)).toBe(true)
  })

  test.each([0, 10, 100, 1000, 10_000, 16_000])('lets %d that wait in at a steady rate', (count) => {
    const gate = closedGate()
    const stepCount = 20 + Math.ceil((1.3 * count * 1e6) / JOINS_PER_SEC / STEP_US)
    const joined = joinsOf(gate, count, stepCount)
    for (const [index, joinedCount] of joined.entries()) {
      const seconds = (index * STEP_US) / 1e6
      expect(joinedCount).toBeLessThan(2 * BURST + 1.1 * seconds * JOINS_PER_SEC)
    }
    expect(joined.at(-1)).toBe(count)
    expect(gate.limit).toBe(JOIN_DRAW_COUNT)
    expect(gate.settledUs).toBeLessThan(stepCount * STEP_US + 50_000)
  })

  test('lets in the fewer, the more the others say, once the main pass is over', () => {
    const joinedCounts = [0, REPORTS_PER_SEC, JOINS_PER_SEC, FEEDBACK_PER_SEC].map((perSec) => {
      const gate = closedGate()
      gate.startMending(0)
      return joinsOf(gate, 16_000, (SECONDS * 1e6) / STEP_US, (perSec * STEP_US) / 1e6).at(-1)! / SECONDS
    })
    for (const [index, perSec] of [600, 400, 200, 0].entries()) {
      expect(joinedCounts[index]).toBeGreaterThan(0.8 * perSec)
      expect(joinedCounts[index]).toBeLessThan(1.1 * perSec + 0.05 * FEEDBACK_PER_SEC)
    }
  })

  test('lets in as many while the main pass lasts, whatever the others say', () => {
    const [quiet, loud] = [0, 1000].map((count) => joinsOf(closedGate(), 16_000, 100, count).at(-1))
    expect(loud).toBe(quiet)
  })

  test('does not close for what the others say', () => {
    const gate = new JoinGate(0, 1)
    gate.startMending(0)
    for (let heard = 0; heard < 1000; heard++) gate.noteFeedback(0)
    expect(gate.noteJoin(0)).toBe(false)
    expect(gate.limit).toBe(JOIN_DRAW_COUNT)
  })

  test('is told to have closed three times, and then as often as others can answer', () => {
    const gate = closedGate()
    const gaps = Array.from({ length: 4 }, (_, index) => {
      gate.step(index * 4_000)
      return gate.announceGapUs(5_000)
    })
    expect(gaps).toEqual([4_000, 4_000, 50_000, 50_000])
    expect(gate.announceGapUs(100_000)).toBe(200_000)
    expect(new JoinGate(0, 1).announceGapUs(5_000)).toBe(Infinity)
  })

  test('tells how many receivers there are before all have joined', () => {
    const gate = closedGate()
    expect(gate.groupCount(65)).toBe(65)
    joinsOf(gate, 5000, 20)
    expect(gate.groupCount(400)).toBeGreaterThan(4000)
    expect(gate.groupCount(400)).toBeLessThan(6500)
    expect(gate.groupCount(MAX_RECEIVER_COUNT)).toBe(MAX_RECEIVER_COUNT)
    joinsOf(gate, 0, 1000)
    expect(gate.groupCount(7)).toBe(7)
  })

  test('is not held back for long by those who join in spite of it', () => {
    const gate = closedGate()
    for (let joined = 0; joined < MAX_RECEIVER_COUNT; joined++) expect(gate.noteJoin(400_000)).toBe(false)
    expect(gate.limit).toBeLessThan(JOIN_DRAW_COUNT)
    const joined = joinsOf(gate, 100, 200)
    expect(joined.at(-1)).toBe(100)
    expect(gate.limit).toBe(JOIN_DRAW_COUNT)
  })

  test('is closed for a minute in all at most, whoever joins', () => {
    const gate = closedGate()
    let [nowUs, closedCount] = [0, 0]
    for (; nowUs < 200_000_000; nowUs += STEP_US) {
      for (let joined = 0; joined < 20; joined++) gate.noteJoin(nowUs)
      gate.step(nowUs)
      if (gate.limit < JOIN_DRAW_COUNT) closedCount++
    }
    expect((closedCount * STEP_US) / 1e6).toBeGreaterThan(55)
    expect((closedCount * STEP_US) / 1e6).toBeLessThan(62)
    expect(gate.settledUs).toBeLessThan(62_100_000)
  })

  test('opens at once, and for good, when thousands join that should have heard of it', () => {
    const gate = closedGate()
    for (let joined = 0; joined < 1000; joined++) gate.noteJoin(100_000)
    const answers = Array.from({ length: 1000 }, () => gate.noteJoin(600_000))
    expect(answers.filter(Boolean)).toEqual([true])
    expect(gate.limit).toBe(JOIN_DRAW_COUNT)
    expect(gate.settledUs).toBe(650_000)
    for (let joined = 0; joined < 1000; joined++) expect(gate.noteJoin(10_000_000)).toBe(false)
    expect(gate.limit).toBe(JOIN_DRAW_COUNT)
  })

  test('closes again for the next crowd', () => {
    const gate = closedGate()
    joinsOf(gate, 0, 100)
    expect(gate.limit).toBe(JOIN_DRAW_COUNT)
    let hasClosed = false
    for (let joined = 0; joined <= BURST; joined++) hasClosed ||= gate.noteJoin(100 * STEP_US)
    expect(hasClosed).toBe(true)
  })
})
