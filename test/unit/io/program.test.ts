import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { Program, runProgram } from '../../../src/io/program.ts'

const sh = (script: string): Program => new Program('sh', ['-c', script])
const runSh = (script: string, timeoutMs = 30_000) => runProgram('sh', ['-c', script], timeoutMs)

describe('a program that is run to its end', () => {
  it('gives what it printed, what it said, and its status', async () => {
    expect(await runSh('echo out; echo first >&2; echo second >&2; exit 3')).toEqual({
      end: { kind: 'exited', status: 3 },
      stdout: 'out\n',
      said: 'first; second',
    })
  })

  it('has no input', async () => {
    expect((await runSh('cat; echo end')).stdout).toBe('end\n')
  })

  it('tells the signal that ended it', async () => {
    expect((await runSh('kill -TERM $$')).end).toEqual({ kind: 'killed', signal: 'SIGTERM' })
  })

  it('that is not there could not be started', async () => {
    const { end } = await runProgram('/nonexistent/program', [], 1000)
    expect(end).toMatchObject({ kind: 'not-started', cause: { code: 'ENOENT' } })
  })

  it('is ended when it takes too long', async () => {
    expect((await runSh('exec sleep 60', 50)).end).toEqual({ kind: 'stopped', reason: 'did not end within 0.05 s' })
  })

  it('is ended when it prints too much', async () => {
    expect((await runSh('exec cat /dev/zero')).end).toEqual({
      kind: 'stopped',
      reason: 'printed more than 4194304 characters',
    })
  })

  it('may print any number of lines when they are wanted one by one', async () => {
    let count = 0
    const onLine = (line: string): void => {
      if (line === String(count + 1)) count++
    }
    const { end, stdout } = await runProgram('sh', ['-c', 'seq 1000000; printf rest'], 30_000, onLine)
    expect({ end, stdout, count }).toEqual({ end: { kind: 'exited', status: 0 }, stdout: 'rest', count: 1_000_000 })
  })

  it('is ended when a line is too long, or not what is expected', async () => {
    const { end } = await runProgram('cat', ['/dev/zero'], 30_000, () => undefined)
    expect(end).toEqual({ kind: 'stopped', reason: 'printed a line of more than 4194304 characters' })
    const unexpected = runProgram('yes', [], 30_000, (line) => {
      throw new Error(`not ${line}`)
    })
    await expect(unexpected).rejects.toThrow('not y')
  })

  it('takes arguments as they are', async () => {
    expect((await runProgram('printf', ['%s|', '$(id)', 'a b', '*'], 30_000)).stdout).toBe('$(id)|a b|*|')
  })

  it('may say as much as it likes: the last lines are kept, without control characters', async () => {
    const { said } = await runSh('seq 100000 >&2; printf "\\033[1mlast\\rline\\n\\n" >&2')
    expect(said).toBe('100000; ?[1mlast; line')
  })
})

describe('a program under way', () => {
  it('reads what is written to it, and is read', async () => {
    const program = sh('cat; echo done >&2')
    const bytes = Buffer.alloc(300_000, 'abc')
    const parts: Buffer[] = []
    program.stdout.on('data', (part: Buffer) => parts.push(part))
    await program.write(bytes)
    program.stdin.end()
    expect(await program.ended).toEqual({ kind: 'exited', status: 0 })
    expect([Buffer.concat(parts).equals(bytes), program.said]).toEqual([true, 'done'])
  })

  it('that has ended takes nothing more', async () => {
    const program = sh('exit 4')
    await expect(
      (async () => {
        for (;;) await program.write(Buffer.alloc(65_536))
      })(),
    ).rejects.toThrow()
    expect(await program.ended).toEqual({ kind: 'exited', status: 4 })
  })

  it('may end by itself when it is stopped', async () => {
    const program = sh('cat >/dev/null; exit 5')
    await program.stop(30_000)
    expect(await program.ended).toEqual({ kind: 'exited', status: 5 })
  })

  it('is killed when it does not end', async () => {
    const program = sh('trap "" TERM HUP PIPE; while :; do sleep 1; done')
    await program.stop(20)
    expect(await program.ended).toEqual({ kind: 'killed', signal: 'SIGKILL' })
  })

  it('does not get what the terminal sends to this process', async () => {
    const program = sh('cut -d" " -f5 /proc/self/stat; exec sleep 60')
    const [group] = (await program.stdout.take(1).toArray()) as Buffer[]
    await program.stop(0)
    expect(Number(group)).not.toBe(Number(readFileSync('/proc/self/stat', 'utf8').split(' ')[4]))
  })
})
