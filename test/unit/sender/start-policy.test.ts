import { expect, test } from 'vitest'
import { StartPolicy } from '../../../src/sender/machine/start-policy.ts'

const policy = (given: Partial<ConstructorParameters<typeof StartPolicy>[1]>, settledUs = 0): StartPolicy => {
  const options = { minReceivers: 1, minWaitUs: 0, maxWaitUs: undefined, startTimeoutUs: undefined, ...given }
  return new StartPolicy(1000, options, { settledUs })
}

test('waits for a receiver without end', () => {
  expect(policy({}).decideAtUs(0)).toBe(Infinity)
})

test('starts 50 ms after the last of those that come together, but 1 s after the first at most', () => {
  const made = policy({})
  made.noteJoin(2000)
  expect(made.decideAtUs(1)).toBe(52_000)
  made.noteJoin(40_000)
  expect(made.decideAtUs(2)).toBe(90_000)
  for (let nowUs = 40_000; nowUs < 1_100_000; nowUs += 10_000) made.noteJoin(nowUs)
  expect(made.decideAtUs(100)).toBe(1_002_000)
  expect(made.decide(1_002_000, 100)).toBe('start')
})

test('waits until everybody may join and has had the time, but for no more than 1 s after the first', () => {
  const made = policy({}, 300_000)
  made.noteJoin(2000)
  expect(made.decideAtUs(1)).toBe(300_000)
  made.noteJoin(270_000)
  expect(made.decideAtUs(2)).toBe(320_000)
  const crowded = policy({}, Infinity)
  crowded.noteJoin(2000)
  expect(crowded.decideAtUs(1)).toBe(1_002_000)
})

test('waits for enough receivers, and for no more than the longest wait after the first', () => {
  const made = policy({ minReceivers: 3, maxWaitUs: 5_000_000 })
  expect(made.decideAtUs(0)).toBe(Infinity)
  made.noteJoin(1_000_000)
  expect(made.decideAtUs(1)).toBe(6_000_000)
  made.noteJoin(2_000_000)
  made.noteJoin(3_000_000)
  expect(made.decideAtUs(3)).toBe(2_000_000)
  expect(made.decideAtUs(2)).toBe(6_000_000)
})

test('does not start when all have left again', () => {
  const made = policy({ maxWaitUs: 5_000_000 })
  made.noteJoin(1_000_000)
  expect(made.decideAtUs(0)).toBe(Infinity)
})

test('waits at least as long as it is told, from the beginning', () => {
  const made = policy({ minWaitUs: 4_000_000 })
  made.noteJoin(2000)
  expect(made.decideAtUs(1)).toBe(4_001_000)
  expect(policy({ minReceivers: 0, minWaitUs: 4_000_000 }).decideAtUs(0)).toBe(4_001_000)
})

test('starts at once when the user says so, or when nobody needs to come', () => {
  const made = policy({ minReceivers: 9, minWaitUs: 4_000_000 })
  made.force()
  expect(made.decideAtUs(0)).toBe(1000)
  expect(policy({ minReceivers: 0 }).decideAtUs(0)).toBe(1000)
})

test('gives up when it is time and too few are there', () => {
  const made = policy({ minReceivers: 2, startTimeoutUs: 3_000_000 })
  made.noteJoin(2000)
  expect(made.decideAtUs(1)).toBe(3_001_000)
  expect(made.decide(3_001_000, 1)).toEqual({ giveUp: '1 of 2 receivers came within 3 s' })
})
