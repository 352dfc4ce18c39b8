import { expect, it } from 'vitest'
import { parseProbeCommand } from '../../../src/cli/probe-command.ts'

it('options are for the end that they mean something to', () => {
  expect(() => parseProbeCommand(['--listen', '--bitrate', '10M'])).toThrow('--bitrate together with --listen')
  expect(() => parseProbeCommand(['--disk', '/tmp'])).toThrow('--disk without --listen')
  // There are no counters to end with.
  expect(() => parseProbeCommand(['--verbose'])).toThrow("unknown option '--verbose'")
})
