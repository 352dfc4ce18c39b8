import { describe, expect, it } from 'vitest'
import { parseSendCommand, type SendCommand } from '../../../src/cli/send-command.ts'
import { SkilfishError } from '../../../src/errors.ts'

function parse(...args: readonly string[]): SendCommand {
  const command = parseSendCommand(args)
  if (command.kind !== 'run') throw new Error(`text instead of a command: ${command.text}`)
  return command
}

function refusal(...args: readonly string[]): string {
  try {
    parse(...args)
  } catch (error) {
    if (error instanceof SkilfishError && error.code === 'OPTION_INVALID') return error.message
    throw error
  }
  return 'accepted'
}

describe('what skilfish-send takes', () => {
  it('is a source, and the library decides the rest', () => {
    expect(parse('debian.img')).toEqual({
      kind: 'run',
      options: { source: 'debian.img' },
      output: { isJson: false, isQuiet: false, isVerbose: false },
      isKeyboardWanted: true,
    })
  })

  it('hands every option on', () => {
    const args =
      '--group [ff15::7]:9000 --interface eth1 --ttl 3 --mtu 9000 --feedback-port 9001 --no-offload --min-receivers 20 ' +
      '--min-wait 5 --max-wait 2m --start-timeout 1h --max-bitrate 600M --on-slow drop --receiver-timeout 20 --fec 5% ' +
      '--compress none --slice-size 512K --name Debian --image-id debian-13 --spool /var/tmp/spool --no-keyboard ' +
      '--key-file group.key --sign-key golden.key ' +
      '--json --quiet --verbose -'
    expect(parse(...args.split(' '))).toEqual({
      kind: 'run',
      options: {
        ...{ source: '-', group: '[ff15::7]:9000', interface: 'eth1', ttl: 3, mtuBytes: 9000, feedbackPort: 9001 },
        ...{ offload: 'off', minReceivers: 20, minWaitMs: 5000, maxWaitMs: 120_000, startTimeoutMs: 3_600_000 },
        ...{ maxBitrate: 600_000_000, onSlow: 'drop', receiverTimeoutMs: 20_000, fec: 5, compress: 'none' },
        ...{ sliceBytes: 524_288, name: 'Debian', imageId: 'debian-13', spool: '/var/tmp/spool' },
        ...{ key: 'group.key', signKey: 'golden.key' },
      },
      output: { isJson: true, isQuiet: true, isVerbose: true },
      isKeyboardWanted: false,
    })
  })

  it('may be cut short where that is unique', () => {
    expect(parse('--min-rec', '3', '--max-b=1M', '--js', 'x').options).toMatchObject({
      minReceivers: 3,
      maxBitrate: 1e6,
    })
  })

  it('may stand after the source, and behind -- is no option', () => {
    expect(parse('x', '--ttl', '2').options).toEqual({ source: 'x', ttl: 2 })
    expect(parse('--', '--ttl').options).toEqual({ source: '--ttl' })
  })

  it('leaves values alone that look like options', () => {
    expect(parse('--name', '--min', 'x').options).toEqual({ source: 'x', name: '--min' })
    expect(parse('--name=--min=1', 'x').options).toEqual({ source: 'x', name: '--min=1' })
  })
})

describe('what skilfish-send refuses', () => {
  it.each([
    [[], "missing required argument 'SOURCE'"],
    [[''], 'cannot use "" as SOURCE: it is empty'],
    [['a', 'b'], 'too many arguments; expected 1 argument but got 2'],
    [['--frobnicate', 'x'], "unknown option '--frobnicate'"],
    [['--minreceivers', '3', 'x'], "unknown option '--minreceivers'; did you mean --min-receivers?"],
    [['--min', '3', 'x'], 'cannot use --min: it is short for each of --min-receivers, --min-wait'],
    [['x', '--ttl'], "option '--ttl <N>' argument missing"],
    [['x', '--ttl', '0'], '--ttl: cannot use "0": expected a whole number from 1 to 255'],
    [['x', '--json=yes'], "unknown option '--json=yes'"],
    [['x', '--receiver-timeout', '100ms'], '--receiver-timeout: cannot use "100ms": expected at least 1 s'],
    [['x', '--max-bitrate', '1'], '--max-bitrate: cannot use the bit rate "1": expected at least 10 kbit/s'],
    [['x', '--compress', 'gzip'], '--compress: cannot use "gzip": expected one of lzo, zstd, none'],
    [['x', '--group', '10.0.0.1'], 'cannot use "10.0.0.1" as the group'],
    [['x', '--mtu', '576', '--slice-size', '1M'], '--slice-size and --mtu: slice size 1048576 does not fit'],
    [['x', '--name', ''], '--name: cannot use "": expected a text that is not empty'],
  ])('%j', (args, message) => {
    expect(refusal(...args)).toContain(message)
  })
})

describe('what skilfish-send shows', () => {
  const helpOf = (...args: readonly string[]): string => {
    const command = parseSendCommand(args)
    return command.kind === 'text' ? command.text : 'no text'
  }

  it('is help in 80 columns, with examples and exit statuses', () => {
    const help = helpOf('--help')
    expect(help).toMatch(/^Usage: skilfish-send \[options\] SOURCE\n/)
    expect(Math.max(...help.split('\n').map((line) => line.length))).toBeLessThanOrEqual(80)
    expect(help).toMatch(/\nExamples:\n {2}skilfish-send .*\n(.*\n)*\nExit status:\n {4}0 /)
    expect(helpOf('-h')).toBe(help)
    expect(helpOf('--hel', 'x')).toBe(help)
  })

  it('is the version of the package', () => {
    expect(helpOf('--version')).toMatch(/^\d+\.\d+\.\d+\n$/)
    expect(helpOf('-V')).toBe(helpOf('--version'))
  })
})
