import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { closeSync, constants, existsSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs'
import { afterEach, expect, it, vi } from 'vitest'
import { receive, send } from '../../src/index.ts'
import { loopback, start, useFolder } from './programs.ts'

const at = useFolder()

afterEach(() => vi.unstubAllEnvs())

/** Far more turns of the event loop than opening files and sockets takes. */
const TURNS = 60

/** Lets the event loop turn so many times. */
async function turn(times: number): Promise<void> {
  for (let time = 0; time < times; time++) await new Promise((resolve) => setImmediate(resolve))
}

it.each(['receive', 'send'])('%s can be given up at any moment of its start', async (name) => {
  writeFileSync(at('image'), 'image')
  const place = { group: '239.192.86.1:21600', interface: 'lo' }
  for (let turns = 0; turns <= TURNS; turns++) {
    const stop = new AbortController()
    const { signal } = stop
    const { finished } =
      name === 'send'
        ? send({ source: at('image'), ...place, signal })
        : receive({ target: at('copy'), ...place, signal })
    await turn(turns)
    stop.abort()
    await expect(finished, `after ${turns} turns`).rejects.toMatchObject({ code: 'INTERRUPTED' })
  }
})

it('a receiver ends by a signal, also when the reader of its pipe does not read', async () => {
  writeFileSync(at('image'), randomBytes(4 * 1024 * 1024))
  execFileSync('mkfifo', [at('pipe')])
  const reader = openSync(at('pipe'), constants.O_RDONLY | constants.O_NONBLOCK)
  const network = loopback()
  const receiver = start('recv', [...network, '--json', at('pipe')])
  const sender = start('send', [...network, '--json', at('image')])
  // More has come than the pipe holds, and no slice is written.
  await receiver.says(/"bytes":[1-9]\d{5}/)
  receiver.process.kill('SIGTERM')
  const [ended, sent] = await Promise.all([receiver.ended, sender.ended])
  closeSync(reader)
  expect([ended.status, sent.status], ended.stderr).toEqual([130, 4])
})

/** Stands in for `rbd`: takes its time, and notes who writes the image. */
const SLOW_RBD = `#!/bin/sh
case "$1" in
  info) echo 'rbd: error opening image x: (2) No such file or directory' >&2; exit 2 ;;
  import-diff) echo $$ > "$WRITER"; exec cat > /dev/null ;;
  *) sleep 0.5 ;;
esac
`

it('a receiver that is given up while its RBD image is made leaves nothing behind that writes it', async () => {
  writeFileSync(at('image'), 'image')
  mkdirSync(at('bin'))
  writeFileSync(at('bin', 'rbd'), SLOW_RBD, { mode: 0o755 })
  vi.stubEnv('PATH', `${at('bin')}:${process.env['PATH']}`)
  vi.stubEnv('WRITER', at('writer'))
  const place = { group: '239.192.86.2:21601', interface: 'lo' }
  const [stop, stopSender] = [new AbortController(), new AbortController()]
  const onLog = (line: string): void => {
    if (line.startsWith('session ')) setImmediate(() => stop.abort())
  }
  const receiver = receive({ target: 'rbd:pool/x', ...place, signal: stop.signal, onLog })
  const sender = send({ source: at('image'), ...place, signal: stopSender.signal })
  await expect(receiver.finished).rejects.toMatchObject({ code: 'INTERRUPTED' })
  stopSender.abort()
  await expect(sender.finished).rejects.toThrow()
  await expect.poll(() => existsSync(at('writer')), { timeout: 10_000 }).toBe(true)
  expect(() => process.kill(Number(readFileSync(at('writer'), 'utf8')), 0)).toThrow('ESRCH')
})
