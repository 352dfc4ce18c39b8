import { writeFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import { receive, send } from '../../src/index.ts'
import { useFolder } from './programs.ts'

const at = useFolder()

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
