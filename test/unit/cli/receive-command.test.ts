import { expect, it } from 'vitest'
import { parseReceiveCommand, type ReceiveCommand } from '../../../src/cli/receive-command.ts'

function parse(args: readonly string[], drop?: string): ReceiveCommand {
  const command = parseReceiveCommand(args, drop)
  if (command.kind !== 'run') throw new Error(`text instead of a command: ${command.text}`)
  return command
}

it('takes a target, and leaves the rest to the library', () => {
  expect(parse(['/dev/sda'])).toEqual({
    kind: 'run',
    options: { target: '/dev/sda' },
    output: { isJson: false, isQuiet: false, isVerbose: false },
  })
})

it('hands every option on', () => {
  const args =
    '--group 239.1.2.3:9000 --interface eth1 --ttl 3 --no-offload --image-id debian-13 --name host7 --start-timeout 10m ' +
    '--receive-timeout 20 --sync --direct --assume-zeroed --resume --journal j --key-file group.key --verify-key golden.pub ' +
    '-q -v --json -'
  expect(parse(args.split(' '), '0.02')).toEqual({
    kind: 'run',
    options: {
      ...{ target: '-', group: '239.1.2.3:9000', interface: 'eth1', ttl: 3, offload: 'off', imageId: 'debian-13' },
      ...{ name: 'host7', startTimeoutMs: 600_000, receiveTimeoutMs: 20_000 },
      ...{ key: 'group.key', verifyKey: 'golden.pub' },
      ...{ sync: true, direct: true, assumeZeroed: true, resume: true, journal: 'j', dropRatio: 0.02 },
    },
    output: { isJson: true, isQuiet: true, isVerbose: true },
  })
})

it('refuses what it cannot use', () => {
  expect(() => parse([])).toThrow("missing required argument 'TARGET'")
  expect(() => parse(['x', '--receive-timeout', '0'])).toThrow(
    '--receive-timeout: cannot use "0": expected at least 1 s',
  )
  expect(() => parse(['x', '--group', 'here'])).toThrow('cannot use "here" as the group')
  expect(() => parse(['x', '--min-receivers', '3'])).toThrow("unknown option '--min-receivers'")
  expect(() => parse(['x'], '2')).toThrow('SKILFISH_DROP: cannot use "2": expected a share from 0 to 0.9')
})

it('takes an empty SKILFISH_DROP for none', () => {
  expect(parse(['x'], '')).toMatchObject({ options: { target: 'x' } })
})

it('verifies, with nothing that is for receiving', () => {
  const output = { isJson: true, isQuiet: false, isVerbose: false }
  expect(parse(['--verify', '--json', 'x'])).toEqual({ kind: 'run', verify: { target: 'x' }, output })
  const { verify } = parse(['--verify', '--fingerprint', 'ab:1', 'x']) as { verify: unknown }
  expect(verify).toEqual({ target: 'x', fingerprint: 'ab:1' })
  expect(() => parse(['--verify', '--resume', '--key-file', 'k', 'x'])).toThrow(
    'cannot use --verify together with --resume, --key-file',
  )
  expect(() => parse(['--fingerprint', 'ab:1', 'x'])).toThrow('cannot use --fingerprint without --verify')
})

it('shows help in 80 columns', () => {
  const command = parseReceiveCommand(['--help'])
  const lines = command.kind === 'text' ? command.text.split('\n') : []
  expect(lines[0]).toBe('Usage: skilfish-recv [options] TARGET')
  expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(80)
})
