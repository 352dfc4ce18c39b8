import { describe, expect, it } from 'vitest'
import { createOutput } from '../../../src/cli/create-output.ts'
import { describeFailure } from '../../../src/cli/failure.ts'
import type { Outcome, Output, ProgressUpdate } from '../../../src/cli/output.ts'
import { EXIT_STATUS, SkilfishError } from '../../../src/errors.ts'
import { FakeStream } from './fake-stream.ts'

const UPDATE: ProgressUpdate = {
  ...{ raw: { phase: 'sending', unknown: undefined }, phase: 'sending', elapsedMs: 1000, percent: 43.7 },
  ...{ facts: ['812 MiB of 1.8 GiB', 'ETA 32 s'], details: ['loss 1 %'] },
}
const OUTCOME: Outcome = { raw: { imageBytes: 7 }, summary: ['head', '  rows'] }
const FAILURE = describeFailure(new SkilfishError('SOURCE_NOT_FOUND', 'cannot open x: it does not exist'))

interface Rig {
  readonly output: Output
  readonly json: FakeStream
  readonly text: FakeStream
}

function rig(
  options: {
    isJson?: boolean
    isQuiet?: boolean
    isTTY?: boolean
    columns?: number
    environment?: NodeJS.ProcessEnv
  } = {},
): Rig {
  const { isJson = false, isQuiet = false, isTTY = false, columns = 80, environment = {} } = options
  const [json, text] = [new FakeStream(), new FakeStream(isTTY, columns)]
  const choice = { isJson, isQuiet, isVerbose: false }
  const streams = { json: json.asTerminal, text: text.asTerminal }
  return { output: createOutput('prog', choice, streams, environment), json, text }
}

describe('plain output', () => {
  it('tells progress at a change of phase and every five seconds', () => {
    const { output, text } = rig()
    output.progress(UPDATE)
    for (let elapsedMs = 1250; elapsedMs <= 6250; elapsedMs += 250) output.progress({ ...UPDATE, elapsedMs })
    output.progress({ ...UPDATE, phase: 'mending', elapsedMs: 6300, percent: undefined })
    expect(text.lines).toEqual([
      'prog: sending, 43 %, 812 MiB of 1.8 GiB, ETA 32 s, loss 1 %',
      'prog: sending, 43 %, 812 MiB of 1.8 GiB, ETA 32 s, loss 1 %',
      'prog: mending, 812 MiB of 1.8 GiB, ETA 32 s, loss 1 %',
    ])
  })

  it('tells progress ever more seldom the longer it takes, and once a minute at least', () => {
    const { output, text } = rig()
    const at = (elapsedMs: number): boolean => {
      const before = text.lines.length
      output.progress({ ...UPDATE, elapsedMs })
      return text.lines.length > before
    }
    const [second, minute, hour] = [1000, 60_000, 3_600_000]
    expect([100, 109, 110].map((seconds) => at(seconds * second))).toEqual([true, false, true])
    expect([5 * hour, 5 * hour + minute - 1, 5 * hour + minute].map(at)).toEqual([true, false, true])
  })

  it('tells log, outcome and failure, and keeps foreign control characters from the terminal', () => {
    const { output, text, json } = rig()
    output.log('receiver \x1b[2J\u202ehost\x9b joined')
    output.note('stopping')
    output.fail(FAILURE, OUTCOME)
    expect(text.lines).toEqual([
      'prog: receiver ?[2J?host? joined',
      'prog: stopping',
      'head',
      '  rows',
      'prog: cannot open x: it does not exist',
      '  Check the path',
    ])
    expect(json.text).toBe('')
  })

  it('drops progress, and only that, while the reader lags', () => {
    const { output, text } = rig()
    text.isStuck = true
    output.log('first')
    output.progress(UPDATE)
    output.log('second')
    expect(text.writableLength).toBe('prog: first\nprog: second\n'.length)
  })

  it('says nothing but errors when it is quiet', () => {
    const { output, text } = rig({ isQuiet: true, isTTY: true })
    output.progress(UPDATE)
    output.log('line')
    output.note('note')
    output.result(OUTCOME)
    expect(text.text).toBe('')
    output.fail(FAILURE, OUTCOME)
    expect(text.lines).toEqual(['prog: cannot open x: it does not exist', '  Check the path'])
  })

  it('does not fail when its reader has gone', async () => {
    const { output, text } = rig()
    text.destroy(new Error('EPIPE'))
    output.log('line')
    await output.close()
    output.log('line')
    expect(text.text).toBe('')
  })
})

describe('JSON output', () => {
  it('is an object a line, told apart by type', () => {
    const { output, json, text } = rig({ isJson: true, isTTY: true })
    output.progress(UPDATE)
    output.log('line')
    output.result(OUTCOME)
    expect(json.lines.map((line) => JSON.parse(line) as unknown)).toEqual([
      { type: 'progress', phase: 'sending' },
      { type: 'log', line: 'line' },
      { type: 'result', imageBytes: 7 },
    ])
    expect(text.text).toBe('')
  })

  it('tells failures with code, remedy and exit status, and with what was reached', () => {
    const { output, json } = rig({ isJson: true })
    output.fail(FAILURE, OUTCOME)
    output.fail(FAILURE)
    const failure = { code: 'SOURCE_NOT_FOUND', message: 'cannot open x: it does not exist', remedy: 'Check the path' }
    expect(json.lines.map((line) => JSON.parse(line) as unknown)).toEqual([
      { type: 'error', ...failure, exitStatus: EXIT_STATUS.storage, result: { imageBytes: 7 } },
      { type: 'error', ...failure, exitStatus: EXIT_STATUS.storage },
    ])
  })

  it('leaves out progress and log when it is quiet', () => {
    const { output, json } = rig({ isJson: true, isQuiet: true })
    output.progress(UPDATE)
    output.log('line')
    output.result(OUTCOME)
    expect(json.lines).toEqual(['{"type":"result","imageBytes":7}'])
  })
})

describe('output on a terminal', () => {
  const live = { isTTY: true, environment: { LANG: 'en_GB.UTF-8', TERM: 'xterm' } }

  /** The rows that are on the screen at the end, without what was drawn over. */
  async function shown(update: ProgressUpdate, environment: NodeJS.ProcessEnv, columns = 80): Promise<string[]> {
    const { output, text } = rig({ ...live, environment, columns })
    output.progress(update)
    // The display is loaded when it is first needed; a module that is loaded already takes but a turn of the loop.
    await import('../../../src/cli/live-lines.ts')
    await Promise.resolve()
    output.log('a line of the log')
    await output.close()
    // eslint-disable-next-line no-control-regex -- it is control sequences that are taken out
    return text.text.split('\n').map((line) => line.replace(/\x1b\[[0-9;]*[A-Za-z]|\r/g, ''))
  }

  it('is two rows that fit, below the log', async () => {
    const [log, first, second] = await shown(UPDATE, live.environment)
    expect(log).toBe('a line of the log')
    expect(first).toMatch(/^ 43 % █{17}░{23} {2}812 MiB of 1.8 GiB {2}ETA 32 s$/)
    expect(second).toMatch(/^ {6}sending {2}loss 1 %$/)
  })

  it('cuts what does not fit and makes the bar shorter first', async () => {
    const facts = ['812.25 GiB of 1024.75 TiB', '123.4 Mbit/s', 'ETA 32 min 05 s']
    const long = { ...UPDATE, facts, details: ['x'.repeat(100)] }
    const rows = await shown(long, live.environment)
    expect(rows[1]).toMatch(/^ 43 % [█░]{8,} {2}812.25 GiB .* 05 s$/)
    expect(Math.max(...rows.slice(1, 3).map((row) => row.length))).toBe(79)
  })

  it('leaves out the bar and then whole facts on a narrow terminal', async () => {
    const waiting = { ...UPDATE, percent: undefined, phase: 'waiting for receivers', facts: ['0 of 1 came', '12 s'] }
    const [, first, second] = await shown({ ...waiting, details: ['press any key to start now'] }, live.environment, 40)
    expect(first).toBe('waiting for receivers  0 of 1 came')
    expect(second).toBe('      press any key to start now')
    const facts = ['812 MiB of 1.8 GiB', '123.4 Mbit/s', 'ETA 32 s']
    const details = ['loss 1 %', 'repairs 12 %', '3 receivers, 1 done', 'slowest a at 3 %']
    const rows = await shown({ ...UPDATE, facts, details }, live.environment, 40)
    expect(rows[1]).toBe(' 43 %  812 MiB of 1.8 GiB  123.4 Mbit/s')
    expect(rows[2]).toBe('sending  loss 1 %  repairs 12 %')
  })

  it('draws in ASCII where the character set is not Unicode, and no bar where the size is unknown', async () => {
    expect((await shown(UPDATE, { LANG: 'C', TERM: 'xterm' }))[1]).toMatch(/^ 43 % #{17}-{23} {2}812 MiB/)
    expect((await shown(UPDATE, { LC_ALL: 'C', LANG: 'en_GB.UTF-8' }))[1]).toContain('#')
    const [, first, second] = await shown({ ...UPDATE, percent: undefined }, live.environment)
    expect(first).toBe('      sending  812 MiB of 1.8 GiB  ETA 32 s')
    expect(second).toBe('      loss 1 %')
  })

  it('is plain where the terminal is dumb', () => {
    const { output, text } = rig({ isTTY: true, environment: { TERM: 'dumb' } })
    output.progress(UPDATE)
    expect(text.lines).toEqual(['prog: sending, 43 %, 812 MiB of 1.8 GiB, ETA 32 s, loss 1 %'])
  })
})
