import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { missingPackages, runCommand } from '../lab/command.ts'
import { Lab } from '../lab/lab.ts'
import { listNamespaces } from '../lab/namespaces.ts'
import { runLabOwner } from './lab-owner.ts'
import { useLabs } from './own-labs.ts'

const PROBE = fileURLToPath(new URL('../lab/udp-probe.mjs', import.meta.url))
const PORT = 5000
const PACKETS = 20_000

const up = useLabs()

/** The lines of a child's output, one a call. */
function lines(child: ChildProcess): () => Promise<string> {
  const iterator = createInterface({ input: child.stdout! })[Symbol.asyncIterator]()
  return async () => {
    const line = await iterator.next()
    if (line.done) throw new Error('The probe ended without a word')
    return line.value
  }
}

/** Starts a receiver of `group` and waits until it has joined; the function that is returned ends it and tells what it counted. */
async function listen(lab: Lab, hostIndex: number, group: string): Promise<() => Promise<number>> {
  const child = lab.spawn(hostIndex, process.execPath, [PROBE, 'recv', group, String(PORT)])
  const nextLine = lines(child)
  expect(await nextLine()).toBe('joined')
  return async () => {
    child.kill('SIGTERM')
    return (JSON.parse(await nextLine()) as { received: number }).received
  }
}

/** Sends datagrams from the sender's host; resolves to the time that took in ms. */
function blast(lab: Lab, group: string, count: number, bytes: number, segment: readonly string[] = []): number {
  const output = lab.run(0, process.execPath, [
    PROBE,
    'send',
    group,
    String(PORT),
    String(count),
    String(bytes),
    ...segment,
  ])
  return (JSON.parse(output) as { elapsedMs: number }).elapsedMs
}

describe('the wire', () => {
  test.each(['239.77.1.1', 'ff15::77'])('carries multicast to %s to every receiver', async (group) => {
    const lab = up({ receiverCount: 3 })
    const ends = await Promise.all(lab.receivers.map((host) => listen(lab, host.index, group)))
    // No more than a socket's usual buffer holds (92 of them), for a receiver that the system does not let run meanwhile.
    blast(lab, group, 50, 1000)
    expect(await Promise.all(ends.map((end) => end()))).toEqual([50, 50, 50])
  })

  test('joins hosts by unicast, with the MTU that was asked for', () => {
    const lab = up({ receiverCount: 2, mtuBytes: 9000 })
    for (const target of [lab.hosts[2]!.ipv4, lab.hosts[2]!.ipv6]) {
      lab.run(1, process.execPath, [PROBE, 'send', target, String(PORT), '1', '8000'])
    }
    const { receivedPacketCount, receivedBytes } = lab.counters(2)
    expect(receivedBytes).toBeGreaterThan(16_000)
    // Were the datagrams cut into fragments of 1500 bytes, there would be more than ten.
    expect(receivedPacketCount).toBeLessThan(12)
  })

  test('has no way out, and does not meet another lab', async () => {
    const [one, other] = [up({ receiverCount: 1 }), up({ receiverCount: 1 })]
    const stranger = await listen(other, 1, '239.77.1.1')
    const own = await listen(one, 1, '239.77.1.1')
    blast(one, '239.77.1.1', 50, 100)
    expect(await own()).toBe(50)
    expect(await stranger()).toBe(0)
    expect(one.run(1, 'ip', ['route', 'show', 'default'])).toBe('')
  })
})

describe('loss', () => {
  test.each(['239.77.1.1', 'ff15::77'])(
    'takes the share that was asked for on the way to each receiver of %s',
    (group) => {
      const lab = up({ receiverCount: 3 })
      lab.loss(1)
      lab.loss(20, 2)
      lab.loss(0, 3)
      blast(lab, group, PACKETS, 200)
      const [one, two, three] = lab.receivers.map((host) => lab.counters(host.index).lostPacketCount)
      // Five standard deviations of a binomial count either way.
      expect(Math.abs(one! - PACKETS * 0.01)).toBeLessThan(5 * Math.sqrt(PACKETS * 0.01 * 0.99))
      expect(Math.abs(two! - PACKETS * 0.2)).toBeLessThan(5 * Math.sqrt(PACKETS * 0.2 * 0.8))
      expect(three).toBe(0)
    },
  )

  test('accounts for every packet, and ends when it is set to 0', async () => {
    const lab = up({ receiverCount: 1 })
    lab.loss(10)
    const end = await listen(lab, 1, '239.77.1.1')
    blast(lab, '239.77.1.1', PACKETS, 200)
    const { lostPacketCount, socketDropCount } = lab.counters(1)
    lab.loss(0)
    blast(lab, '239.77.1.1', 100, 200)
    expect(lostPacketCount).toBeGreaterThan(0)
    expect((await end()) + lostPacketCount + socketDropCount).toBe(PACKETS + 100)
    expect(lab.counters(1).lostPacketCount).toBe(lostPacketCount)
  })

  test('takes everything at 100 %, also on the way to the sender', () => {
    const lab = up({ receiverCount: 1 })
    lab.loss(100, 0)
    lab.run(1, process.execPath, [PROBE, 'send', lab.hosts[0]!.ipv4, String(PORT), '30', '100'])
    expect(lab.counters(0).lostPacketCount).toBe(30)
  })

  test('comes in bursts, at other moments for each receiver', () => {
    const lab = up({ receiverCount: 2 })
    const lost = (): number[] => lab.receivers.map((host) => lab.counters(host.index).lostPacketCount)
    lab.burstLoss(1, 10)
    // In every 1000 packets one run of ten: from number 330 on for the first receiver, from 660 on for the second.
    const history = [300, 35, 65, 265, 35, 300].map((count) => {
      blast(lab, '239.77.1.1', count, 100)
      return lost()
    })
    expect(history).toEqual([
      [0, 0],
      [5, 0],
      [10, 0],
      [10, 5],
      [10, 10],
      [10, 10],
    ])
    lab.burstLoss(0, 10)
    blast(lab, '239.77.1.1', 1000, 100)
    expect(lost()).toEqual([10, 10])
  })

  test('in bursts of all packets takes all', () => {
    const lab = up({ receiverCount: 1 })
    lab.burstLoss(100, 1)
    blast(lab, '239.77.1.1', 10, 100)
    expect(lab.counters(1).lostPacketCount).toBe(10)
  })

  test.each([-1, 101, NaN])('refuses %d percent', (percent) => {
    const lab = up({ receiverCount: 1 })
    expect(() => lab.loss(percent)).toThrow(RangeError)
  })
})

describe('the receivers’ links', () => {
  test('keep to their rate and lose what a queue of 50 ms cannot hold, and are free again afterwards', () => {
    const lab = up({ receiverCount: 2 })
    const receivedBytes = (): number[] => [1, 2].map((index) => lab.counters(index).receivedBytes)
    lab.rate(50)
    const [beforeBytes, beganMs] = [receivedBytes(), performance.now()]
    blast(lab, '239.77.1.1', 20_000, 1400)
    lab.rate(0)
    // What waited is gone with the limit. The burst went out at once; the queue began to empty with it.
    const mostBytes = 256 * 1024 + ((performance.now() - beganMs) / 1000) * (50e6 / 8)
    const limitedBytes = receivedBytes()
    for (const [at, bytes] of limitedBytes.entries()) {
      expect(bytes - beforeBytes[at]!).toBeGreaterThan(256 * 1024)
      expect(bytes - beforeBytes[at]!).toBeLessThan(mostBytes * 1.1)
    }
    blast(lab, '239.77.1.1', 5000, 1400)
    for (const [at, bytes] of receivedBytes().entries()) expect(bytes - limitedBytes[at]!).toBeGreaterThan(5000 * 1400)
  })

  test('hold back no socket of the sender’s host', () => {
    const lab = up({ receiverCount: 1 })
    lab.rate(50)
    const beforeBytes = lab.counters(1).receivedBytes
    blast(lab, lab.hosts[1]!.ipv4, 20_000, 1400)
    // A socket that waits until its packets have left the queue loses none.
    expect(lab.counters(1).receivedBytes - beforeBytes).toBeLessThan((20_000 * 1400) / 2)
  })

  test('carries nothing while a cable is pulled, and all as before once it is back', async () => {
    const lab = up({ receiverCount: 1 })
    const end = await listen(lab, 1, '239.77.1.1')
    lab.linkDown(1)
    blast(lab, '239.77.1.1', 20, 100)
    lab.linkUp(1)
    blast(lab, '239.77.1.1', 30, 100)
    expect(await end()).toBe(30)
  })

  test('lets a host reach others at once when its cable is back, also those that it has looked for in vain', async () => {
    const lab = up({ receiverCount: 1 })
    lab.linkDown(1)
    // The kernel looks for a neighbour three times, a second apart, and gives up after the third.
    const code = `require('net').connect(${PORT}, '${lab.hosts[0]!.ipv4}').on('error', (error) => console.log(error.code))`
    const connect = (): Promise<string> => lines(lab.spawn(1, process.execPath, ['-e', code]))()
    const inVain = connect()
    while (!lab.run(1, 'ip', ['neigh', 'show', 'dev', 'eth0']).includes('INCOMPLETE')) await delay(10)
    await delay(2_500)
    lab.linkUp(1)
    // Nobody listens there, which only the other host can tell.
    expect(await connect()).toBe('ECONNREFUSED')
    expect(await inVain).toBe('EHOSTUNREACH')
  })

  test('splits the super-packets of segmentation offload, so that each packet is lost by itself', () => {
    const lab = up({ receiverCount: 1 })
    lab.loss(50)
    blast(lab, '239.77.1.1', 100, 40_000, ['1000'])
    expect(lab.counters(0).sentPacketCount).toBeGreaterThanOrEqual(4000)
    const { lostPacketCount } = lab.counters(1)
    expect(Math.abs(lostPacketCount - 2000)).toBeLessThan(5 * Math.sqrt(4000 * 0.5 * 0.5))
    expect(lab.run(1, 'ethtool', ['-k', 'eth0'])).toMatch(/^generic-receive-offload: on/m)
  })
})

describe('the end of a lab', () => {
  test('leaves neither namespaces nor processes', async () => {
    const lab = up({ receiverCount: 2 })
    const child = lab.spawn(1, 'sleep', ['1000'])
    await once(child, 'spawn')
    const exit = once(child, 'exit')
    lab.down()
    expect(await exit).toEqual([null, 'SIGKILL'])
    expect(listNamespaces().filter((name) => lab.hosts.some((host) => host.namespace === name))).toEqual([])
    expect(listNamespaces().filter((name) => name.startsWith(`skilfish-${process.pid}-`))).toEqual([])
    lab.down()
  })

  const forget = `
    const lab = Lab.up({ receiverCount: 1 })
    console.log(listNamespaces().filter((name) => name.includes(\`-\${process.pid}-\`)).join())
    lab.spawn(1, 'sleep', ['1000'], { stdio: 'ignore' })
    setTimeout(() => {}, 60_000)
  `
  const stillThere = (stdout: string): string[] => {
    const names = stdout.trim().split(',')
    expect(names).toHaveLength(3)
    return listNamespaces().filter((name) => names.includes(name))
  }

  test.each([
    ['it is interrupted', "process.kill(process.pid, 'SIGINT')", { status: null, signal: 'SIGINT' }],
    ['it fails', "throw new Error('on purpose')", { status: 1, signal: null }],
    ['it exits', 'process.exit(7)', { status: 7, signal: null }],
  ])('comes when its process forgets it and %s', (_how, statement, end) => {
    const result = runLabOwner(`${forget}; ${statement}`)
    expect(result).toMatchObject(end)
    expect(stillThere(result.stdout)).toEqual([])
  })

  test('comes at the next start when its process was killed', () => {
    const { stdout } = runLabOwner(`${forget}; process.kill(process.pid, 'SIGKILL')`)
    expect(stillThere(stdout)).toHaveLength(3)
    up({ receiverCount: 1 })
    expect(stillThere(stdout)).toEqual([])
  })

  test('comes at the next start when its process id is in use again, not while the process lives', async () => {
    const owner = spawn('sleep', ['1000'])
    await once(owner, 'spawn')
    const startTicks = readFileSync(`/proc/${owner.pid!}/stat`, 'utf8').split(' ')[21]!
    const own = `skilfish-${owner.pid!}-${startTicks}-0badcafe-host0`
    const predecessors = `skilfish-${owner.pid!}-1-0badcafe-host0`
    for (const name of [own, predecessors]) runCommand('ip', ['netns', 'add', name])
    try {
      up({ receiverCount: 1 })
      expect(listNamespaces()).toContain(own)
      expect(listNamespaces()).not.toContain(predecessors)
    } finally {
      owner.kill('SIGKILL')
      await once(owner, 'exit')
      up({ receiverCount: 1 })
    }
    expect(listNamespaces()).not.toContain(own)
  })

  test('comes when building fails, and the error names the command that did', () => {
    const commands = { ethtool: 'echo "The network card is on strike" >&2; exit 3' }
    const { stdout } = runLabOwner(
      `let failure
      try { Lab.up({ receiverCount: 1 }) } catch (error) { failure = error.message }
      const left = listNamespaces().filter((name) => name.includes(\`-\${process.pid}-\`))
      console.log(JSON.stringify({ failure, left }))`,
      { commands },
    )
    const { failure, left } = JSON.parse(stdout) as { failure: string; left: string[] }
    expect(failure).toMatch(/ethtool -K eth0 .* failed \(3\)\nThe network card is on strike/)
    expect(left).toEqual([])
  })

  test.each([{ receiverCount: 0 }, { receiverCount: 1, mtuBytes: 576 }])('%o is refused', (options) => {
    expect(() => up(options)).toThrow(RangeError)
  })
})

describe('what is missing', () => {
  test('is named by package and command', () => {
    expect(missingPackages({ bash: ['bash'], 'no-such-package': ['no-such-command', 'nor-this'] })).toEqual([
      'Debian package no-such-package (for no-such-command, nor-this)',
    ])
    expect(Lab.missing()).toEqual([])
  })

  test('is a capability of root, for a process that has it not', () => {
    const { stderr, status } = runLabOwner('Lab.up({ receiverCount: 1 })', {
      through: ['setpriv', '--bounding-set=-sys_admin'],
    })
    expect(status).toBe(1)
    expect(stderr).toContain('The network lab cannot be built here; it needs root (this process lacks CAP_SYS_ADMIN)')
  })
})
