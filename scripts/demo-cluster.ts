// `npm run demo:cluster`: the deployer on this one machine. Two hosts (folders), storage in files, four small machines that read and
// write under verification all the time: booted from the storage, fetched over real multicast, switched while they run; then the
// storage is killed, and they go on; at last they are shut down and committed. Installs nothing; says what is missing.
import { once } from 'node:events'
import { createServer, type AddressInfo } from 'node:net'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { SkilfishError } from '../src/errors.ts'
import { Deployer, parseCluster } from '../src/deployer/index.ts'
import { absentPackages, runCommand } from '../test/lab/command.ts'
import { GuestConsole } from '../test/lab/guest-console.ts'
import { guestFiles, verifyGuestDisk, writeGuestDisk } from '../test/lab/guest.ts'

const PACKAGES = {
  'qemu-system-x86': ['qemu-system-x86_64'],
  'qemu-system-common': ['qemu-storage-daemon'],
  'qemu-utils': ['qemu-img', 'qemu-io'],
  gcc: ['gcc'],
}

const VM_COUNT = 4
const DISK_BYTES = 256 * 1024 * 1024
/** How long the machines go on without the storage, seconds. */
const ALONE_SECONDS = 10

const missing = absentPackages(PACKAGES).map(([name]) => name)
if (missing.length > 0) {
  console.error(`The demo needs programs of these Debian packages: apt-get install ${missing.join(' ')}`)
  process.exit(5)
}

const folder = mkdtempSync(join(tmpdir(), 'skilfish-demo-'))
const times: [step: string, seconds: string][] = []

/** Runs a step, and takes its time. */
async function timed<Result>(step: string, work: () => Promise<Result>): Promise<Result> {
  console.log(`${step} …`)
  const startedMs = performance.now()
  const result = await work()
  times.push([step, ((performance.now() - startedMs) / 1000).toFixed(1)])
  return result
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

function describeCluster(templatePath: string, port: number): string {
  const { kernelPath, initrdPath, append } = guestFiles()
  return JSON.stringify({
    cluster: 'demo',
    storage: { template: `file:${templatePath}`, listen: `127.0.0.1:${port}` },
    transfer: { interface: 'lo', maxBitrate: '400M' },
    hostDefaults: { interface: 'lo' },
    hosts: ['host1', 'host2'].map((name) => ({ name, folder: join(folder, name) })),
    vmDefaults: { accelerator: 'tcg', memoryMiB: 128, kernel: kernelPath, initrd: initrdPath, append },
    vms: Array.from({ length: VM_COUNT }, (_, index) => ({ name: `vm${index + 1}`, host: `host${1 + (index % 2)}` })),
  })
}

async function demo(): Promise<boolean> {
  const templatePath = join(folder, 'template.raw')
  writeGuestDisk(templatePath, DISK_BYTES)
  const plan = parseCluster(describeCluster(templatePath, await freePort()), 'the demo')
  const deployer = new Deployer(plan)
  try {
    await timed('create', () => deployer.create())
    const guests = await timed('boot, until the guests answer', async () => {
      await deployer.boot()
      return Promise.all(
        plan.vms.map(({ name, host }) => GuestConsole.connect(join(folder, host, 'vms/demo', name, 'console.sock'))),
      )
    })
    const runs = guests.map((guest) => guest.run({ opsPerSec: 200 }))
    const fetched = await timed('fetch the template to both hosts', () => deployer.fetch())
    const switched = await timed('switch all machines', () => deployer.switch())
    process.kill(Number(readFileSync(`${templatePath}.skilfish/demo/server.pid`, 'utf8')), 'SIGKILL')
    await timed('storage killed; the guests go on', async () => {
      const alone = guests.map((guest) => {
        const end = guest.reports.length + ALONE_SECONDS
        return guest.nextReport(() => guest.reports.length >= end, 60_000)
      })
      await Promise.all(alone)
    })
    for (const guest of guests) guest.stop()
    const results = await Promise.all(runs)
    const wholes = await timed('verify every block', () => Promise.all(guests.map((guest) => guest.verify())))
    for (const guest of guests) guest.close()
    await timed('shut down', () => deployer.shutdown())
    const committed = await timed('commit', () => deployer.commit())

    console.log('')
    for (const [step, seconds] of times) console.log(`${step.padEnd(36)} ${seconds.padStart(6)} s`)
    console.log(`\nmulticast to 2 hosts: ${(fetched.multicastBytes / 2 ** 20).toFixed(1)} MiB on the wire`)
    let isRight = true
    for (const [index, { name }] of plan.vms.entries()) {
      const { reads, writes } = results[index]!
      const bad = results[index]!.bad + wholes[index]!.bad + results[index]!.errors + wholes[index]!.errors
      const image = join(folder, `${name}.raw`)
      exportImage(templatePath, name, image)
      const isSame = verifyGuestDisk(image).digest === wholes[index]!.digest
      isRight &&= bad === 0 && isSame
      const { switchMs } = switched[index]!.result!
      const { committedBytes } = committed[index]!.result!
      const facts = [
        `switched in ${switchMs.toFixed(0)} ms`,
        `${reads} reads and ${writes} writes checked, ${bad} wrong`,
        `${(committedBytes / 2 ** 20).toFixed(1)} MiB committed, image ${isSame ? 'identical' : 'DIFFERENT'}`,
      ]
      console.log(`${name}: ${facts.join('; ')}`)
      rmSync(image)
    }
    return isRight
  } finally {
    await deployer.shutdown({ timeoutMs: 5000 }).catch(() => undefined)
    await deployer.destroy({ isDiscarding: true }).catch(() => undefined)
  }
}

function exportImage(templatePath: string, vm: string, target: string): void {
  const image = `${templatePath}.skilfish/demo/${vm}.qcow2`
  runCommand('qemu-img', ['convert', '-U', '-f', 'qcow2', '-O', 'raw', image, target])
}

try {
  process.exitCode = (await demo()) ? 0 : 1
} catch (error) {
  if (!(error instanceof SkilfishError)) throw error
  console.error(`${error.message}\n  ${error.remedy}`)
  process.exitCode = error.exitStatus
} finally {
  rmSync(folder, { recursive: true, force: true })
}
