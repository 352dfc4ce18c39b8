import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { chmodSync, closeSync, mkdirSync, openSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { describe, expect, it } from 'vitest'
import { isIncompleteTarget } from '../../src/io/index.ts'
import { missingPackages } from '../lab/command.ts'
import { DIST, loopback, messages, Program, start, useFolder, type Ended } from './programs.ts'

const MIB = 1024 * 1024

/** Time in which a transfer that is to be interrupted surely does not end: 8 MiB at 8 Mbit/s. */
const SLOW = ['--compress', 'none', '--max-bitrate', '8M']

const at = useFolder()

function writeImage(bytes: number): string {
  writeFileSync(at('image'), Buffer.alloc(bytes, 'not zero'))
  return at('image')
}

const run = (name: 'send' | 'recv' | 'keygen' | 'demo', ...args: readonly string[]): Promise<Ended> =>
  start(name, args).ended

describe('every program', () => {
  it.each(['send', 'recv', 'keygen', 'demo'] as const)('%s shows help and version, and that is all', async (name) => {
    const help = await run(name, '--help')
    expect(help).toMatchObject({ status: 0, stderr: '' })
    expect(help.stdout.toString()).toMatch(new RegExp(`^Usage: skilfish-${name} \\[options\\]`))
    const version = await run(name, '--version')
    expect(version).toMatchObject({ status: 0, stderr: '' })
    expect(version.stdout.toString()).toMatch(/^\d+\.\d+\.\d+\n$/)
  })

  it.each(['send', 'recv', 'keygen', 'demo'] as const)(
    '%s refuses what it does not know, and says where to look',
    async (name) => {
      const { status, stdout, stderr } = await run(name, '--frobnicate', 'x')
      expect(status).toBe(2)
      expect(stdout).toHaveLength(0)
      expect(stderr).toBe(
        `skilfish-${name}: unknown option '--frobnicate'\n  Correct the option; --help lists the forms\n`,
      )
    },
  )

  it.each(['send', 'recv'] as const)('%s wants its operand, and values within bounds', async (name) => {
    expect(await run(name)).toMatchObject({
      status: 2,
      stderr: expect.stringContaining('missing required argument') as unknown,
    })
    expect(await run(name, '--ttl', '300', 'x')).toMatchObject({
      status: 2,
      stderr: expect.stringContaining('--ttl: cannot use "300": expected a whole number from 1 to 255') as unknown,
    })
  })
})

describe('what cannot be opened', () => {
  it('is a source that is not there', async () => {
    const { status, stdout, stderr } = await run('send', ...loopback(), at('missing'))
    expect(status).toBe(5)
    expect(stdout).toHaveLength(0)
    expect(stderr).toMatch(/^skilfish-send: cannot open .*missing: it does not exist; .*\n {2}Check the path\n$/)
  })

  it('is a source that another transfer has left unfinished', async () => {
    const image = writeImage(10_000)
    writeFileSync(image, 'SKILFISH INCOMPLETE IMAGE\n', { flag: 'r+' })
    const { status, stderr } = await run('send', ...loopback(), image)
    expect(status).toBe(5)
    expect(stderr).toMatch(/^skilfish-send: cannot send .*: a transfer to it has not ended.*\n {2}Finish it with/)
  })

  it('is told as an object with --json', async () => {
    const { status, stdout, stderr } = await run('send', ...loopback(), '--json', at('missing'))
    expect({ status, stderr }).toEqual({ status: 5, stderr: '' })
    expect(messages(stdout, 'error')).toMatchObject([
      { code: 'SOURCE_NOT_FOUND', exitStatus: 5, remedy: 'Check the path' },
    ])
  })

  it('is a target in a folder that is not there, or that is a folder', async () => {
    expect(await run('recv', ...loopback(), at('missing/copy'))).toMatchObject({ status: 5 })
    expect(await run('recv', ...loopback(), at())).toMatchObject({
      status: 5,
      stderr: expect.stringContaining('it is a folder') as unknown,
    })
  })

  // Root may read and write everything; the programs must be readable for the user that takes its place.
  const isRoot = process.getuid?.() === 0
  const nobody = isRoot ? { uid: 65_534, gid: 65_534 } : {}

  it.skipIf(isRoot && !isReadableForAll(DIST))('is what this user may not read or write', async () => {
    const image = writeImage(1000)
    chmodSync(image, 0o000)
    chmodSync(at(), 0o755)
    mkdirSync(at('locked'), 0o555)
    const sender = start('send', [...loopback(), image], nobody)
    expect(await sender.ended).toMatchObject({
      status: 5,
      stderr: expect.stringContaining('permission denied') as unknown,
    })
    const receiver = start('recv', [...loopback(), at('locked/copy')], nobody)
    expect(await receiver.ended).toMatchObject({
      status: 5,
      stderr: expect.stringContaining('permission denied') as unknown,
    })
  })

  it('is a name that is not UTF-8: it would lead to another file', async () => {
    const recv = `${DIST}/cli/recv.js`
    const script = `exec "$0" "$1" --interface lo "$(printf '%s/q\\377' "$2")"`
    const { status, stderr } = await new Program('sh', ['-c', script, process.execPath, recv, at()]).ended
    expect(status).toBe(2)
    expect(stderr).toContain('it is not UTF-8')
  })

  it('is a port for feedback that is taken', async () => {
    const taken = createSocket('udp4').bind(0)
    await once(taken, 'listening')
    const { port } = taken.address()
    const { status, stderr } = await run('send', ...loopback(), '--feedback-port', String(port), writeImage(1))
    taken.close()
    expect(status).toBe(6)
    expect(stderr).toMatch(new RegExp(`feedback port ${port}: .*\n.*--feedback-port`))
  })

  it('is a network interface that is not there, or a group that is none', async () => {
    expect(await run('recv', '--interface', 'nothere0', at('copy'))).toMatchObject({
      status: 6,
      stderr: expect.stringContaining('nothere0') as unknown,
    })
    expect(await run('send', '--group', '10.1.2.3', writeImage(1))).toMatchObject({ status: 2 })
  })
})

function isReadableForAll(path: string): boolean {
  const isOpen = (statSync(path).mode & 0o005) === 0o005
  return isOpen && (path === '/' || isReadableForAll(dirname(path)))
}

describe('nobody there', () => {
  it('ends both programs with status 3 after --start-timeout', async () => {
    const image = writeImage(1000)
    const [sender, receiver] = await Promise.all([
      run('send', ...loopback(), '--start-timeout', '500ms', image),
      run('recv', ...loopback(), '--start-timeout', '0.5', at('copy')),
    ])
    expect(sender).toMatchObject({ status: 3, stderr: expect.stringContaining('0 of 1 receivers came') as unknown })
    expect(receiver).toMatchObject({ status: 3, stderr: expect.stringContaining('Start the sender') as unknown })
  })
})

describe('standard output as a target', () => {
  it('is left open, so that nothing complains when the process ends', async () => {
    const file = openSync(at('copy'), 'w')
    const args = [...loopback(), '--quiet', '--start-timeout', '300ms', '-']
    const { status, stderr } = await start('recv', args, { stdio: ['ignore', file, 'pipe'] }).ended
    closeSync(file)
    expect(status).toBe(3)
    expect(stderr).toMatch(/^skilfish-recv: no sender was heard within 0\.3 s\n.*\n$/)
  })
})

describe('Ctrl-C', () => {
  it.each(['SIGINT', 'SIGTERM', 'SIGHUP'] as const)('(%s) ends a program that waits', async (signal) => {
    const network = loopback()
    const sender = start('send', [...network, writeImage(1000)])
    const receiver = start('recv', [...loopback(), '--json', at('copy')])
    await Promise.all([sender.says('session'), receiver.says('waiting')])
    sender.process.kill(signal)
    receiver.process.kill(signal)
    const { status, stderr } = await sender.ended
    expect(status).toBe(130)
    expect(stderr).toContain('press Ctrl-C again')
    const received = await receiver.ended
    expect(received.status).toBe(130)
    expect(messages(received.stdout, 'error')).toMatchObject([{ code: 'INTERRUPTED', exitStatus: 130 }])
  })

  it('at the sender ends the receivers too, and leaves targets that can be told to be incomplete', async () => {
    const network = loopback()
    const receiver = start('recv', [...network, at('copy')])
    const sender = start('send', [...network, ...SLOW, '--json', writeImage(8 * MIB)])
    await sender.says('"phase":"sending"')
    await receiver.says('session')
    sender.process.kill('SIGINT')
    expect(await sender.ended).toMatchObject({ status: 130 })
    expect(await receiver.ended).toMatchObject({ status: 7, stderr: expect.stringContaining('interrupted') as unknown })
    expect(await isIncompleteTarget(at('copy'))).toBe(true)
  })

  it('at the only receiver ends the sender, which names it', async () => {
    const network = loopback()
    const receiver = start('recv', [...network, '--name', 'host7', at('copy')])
    const sender = start('send', [...network, ...SLOW, '--json', writeImage(8 * MIB)])
    await sender.says('"phase":"sending"')
    receiver.process.kill('SIGINT')
    expect(await receiver.ended).toMatchObject({ status: 130 })
    const { status, stdout } = await sender.ended
    expect(status).toBe(4)
    const failure = messages(stdout, 'error')
    // What was not read counts neither as data nor as holes.
    expect(failure).toMatchObject([
      { code: 'RECEIVERS_FAILED', result: { receivers: [{ name: 'host7', state: 'left' }], holeBytes: 0 } },
    ])
    expect((failure[0]!['result'] as { dataBytes: number }).dataBytes).toBeLessThan(8 * MIB)
    expect(await isIncompleteTarget(at('copy'))).toBe(true)
  })

  it('twice ends the program at once', async () => {
    const sender = start('send', [...loopback(), writeImage(1000)])
    await sender.says('session')
    sender.process.kill('SIGINT')
    sender.process.kill('SIGTERM')
    expect(await sender.ended).toMatchObject({ status: 130 })
  })
})

describe('output', () => {
  it('without a terminal is lines of text on standard error', async () => {
    const network = loopback()
    const receiver = start('recv', [...network, '--name', 'host7', at('copy')])
    const sender = start('send', [...network, '--verbose', writeImage(MIB)])
    const { stdout, stderr } = await sender.ended
    expect(await receiver.ended).toMatchObject({ status: 0 })
    expect(stdout).toHaveLength(0)
    // eslint-disable-next-line no-control-regex -- none of them may be there
    expect(stderr).not.toMatch(/[\x00-\x09\x0b-\x1f]/)
    expect(stderr).toMatch(/^skilfish-send: session [0-9a-f]{16}, image /)
    expect(stderr).toContain('skilfish-send: receiver host7 (127.0.0.1) joined\n')
    expect(stderr).toMatch(/\nimage: sent to 1 receiver in [\d.]+ s\n {2}image +1 MiB\n/)
    expect(stderr).toMatch(/\n {2}root digest +[0-9a-f]{64}\n/)
  })

  it('is nothing with --quiet', async () => {
    const network = loopback()
    const receiver = start('recv', [...network, '-q', at('copy')])
    const sender = start('send', [...network, '-q', writeImage(MIB)])
    for (const program of [sender, receiver]) {
      const { status, stdout, stderr } = await program.ended
      expect({ status, stdout: stdout.length, stderr }).toEqual({ status: 0, stdout: 0, stderr: '' })
    }
  })

  it('with --json is an object a line and nothing else', async () => {
    const network = loopback()
    const receiver = start('recv', [...network, '--json', at('copy')])
    const sender = start('send', [...network, '--json', writeImage(MIB)])
    for (const program of [sender, receiver]) {
      const { stdout, stderr } = await program.ended
      expect(stderr).toBe('')
      expect(messages(stdout, 'log').length).toBeGreaterThan(1)
      expect(messages(stdout, 'progress').length).toBeGreaterThan(0)
      expect(messages(stdout, 'result')).toMatchObject([{ imageBytes: MIB, imageName: 'image' }])
    }
  })

  it('may lose its reader without harm', async () => {
    const network = loopback()
    const receiver = start('recv', [...network, '--json', at('copy')])
    const sender = start('send', [...network, '--json', ...SLOW, writeImage(MIB)])
    await sender.says('"phase":"sending"')
    for (const program of [sender, receiver]) {
      program.process.stdout?.destroy()
      program.process.stderr?.destroy()
    }
    expect(await sender.ended).toMatchObject({ status: 0 })
    expect(await receiver.ended).toMatchObject({ status: 0 })
    expect(readFileSync(at('copy')).equals(readFileSync(at('image')))).toBe(true)
  })
})

describe('while it runs', () => {
  it('a receiver whose reader goes away tells so, and of nothing that is damaged', async () => {
    const network = loopback()
    const receiver = start('recv', [...network, '-'])
    const sender = start('send', [...network, writeImage(16 * MIB), '--compress', 'none'])
    receiver.process.stdout?.once('data', () => receiver.process.stdout?.destroy())
    const { status, stderr } = await receiver.ended
    expect({ status, stderr }).toMatchObject({
      status: 5,
      stderr: expect.stringContaining('the program that reads it has gone') as unknown,
    })
    expect(stderr).not.toContain('failed its digest')
    expect(await sender.ended).toMatchObject({ status: 4 })
  })

  it('SIGUSR1 doubles and SIGUSR2 halves the cap of the sender', async () => {
    const sender = start('send', [...loopback(), '--max-bitrate', '40M', writeImage(1000)])
    await sender.says('session')
    sender.process.kill('SIGUSR1')
    await sender.says('at most 80 Mbit/s from now on')
    sender.process.kill('SIGUSR2')
    await sender.says('at most 40 Mbit/s from now on')
    sender.process.kill('SIGINT')
    const { stderr } = await sender.ended
    expect(stderr).not.toContain('Debugger')
  })
})

describe.runIf(process.platform === 'linux')('SIGUSR1 and SIGUSR2 open no debugger and end nothing', () => {
  const SIGUSR: readonly NodeJS.Signals[] = ['SIGUSR1', 'SIGUSR2']

  it.each([
    ['send', ['--quiet', ...loopback(), '-']],
    ['recv', ['--quiet', ...loopback(), 'copy']],
    ['keygen', ['--quiet', '--passphrase', 'group.key']],
    ['probe', ['--quiet', ...loopback(), '--listen']],
    ['demo', []],
    ['skilfish', ['status', '-']],
  ] as const)('of %s', async (name, args) => {
    const program = start(name, args, { cwd: at() })
    await program.catchesSignals()
    for (const signal of SIGUSR) program.process.kill(signal)
    program.process.kill('SIGINT')
    const { status, stderr } = await program.ended
    expect(status).toBe(130)
    expect(stderr).not.toContain('Debugger')
  })

  it('of a host', async () => {
    const program = start('skilfish', ['host'])
    await program.catchesSignals('SIGUSR2')
    for (const signal of SIGUSR) program.process.kill(signal)
    program.process.stdin?.end('{}\n')
    const { status, stdout, stderr } = await program.ended
    expect({ status, stderr }).toEqual({ status: 7, stderr: '' })
    expect(messages(stdout, 'error')).toHaveLength(1)
  })
})

// `script` of util-linux gives the program a terminal.
describe.skipIf(missingPackages({ bsdutils: ['script'] }).length > 0)('on a terminal', () => {
  const onTerminal = (...args: readonly string[]): Program => {
    const command = [process.execPath, `${DIST}/cli/send.js`, ...args].map((word) => `'${word}'`).join(' ')
    return new Program('script', ['-qec', command, '/dev/null'], {
      env: { ...process.env, TERM: 'xterm', LANG: 'C.UTF-8' },
    })
  }

  it('a key starts the transfer, progress is drawn, and the summary stays', async () => {
    const network = loopback()
    const receiver = start('recv', [...network, at('copy')])
    const sender = onTerminal(...network, '--min-receivers', '2', '--max-bitrate', '8M', writeImage(MIB))
    await sender.says('1 of 2 came')
    await sender.says('press any key to start now')
    sender.process.stdin?.write('x')
    const { status, stdout } = await sender.ended
    expect(await receiver.ended).toMatchObject({ status: 0 })
    expect(status).toBe(0)
    expect(stdout.toString()).toContain('started by a key')
    expect(stdout.toString()).toMatch(/\d+ % [█░]+ {2}/)
    expect(stdout.toString()).toMatch(/image: sent to 1 receiver/)
  })

  it('Ctrl-C ends it', async () => {
    const sender = onTerminal(...loopback(), writeImage(1000))
    await sender.says('press any key to start now')
    sender.process.stdin?.write('\x03')
    const { status, stdout } = await sender.ended
    expect(status).toBe(130)
    expect(stdout.toString()).toContain('press Ctrl-C again')
  })
})
