import { readFile } from 'node:fs/promises'
import { addAbortSignal } from 'node:stream'
import { text as readStream } from 'node:stream/consumers'
import { ClusterFailedError, Deployer, parseCluster, type ClusterPlan } from '../deployer/index.ts'
import { SkilfishError } from '../errors.ts'
import { systemReason } from '../io/index.ts'
import { giveWay } from './background.ts'
import { parseDeployCommand, type DeployCommand } from './deploy-command.ts'
import { DeployView, resultOf } from './deploy-view.ts'
import type { Outcome } from './output.ts'
import { runProgram, type Ending, type ProgramContext } from './program.ts'

// `skilfish COMMAND`: works at a cluster.
void runProgram({
  name: 'skilfish',
  parse: () => parseDeployCommand(process.argv.slice(2)),
  // A status holds no lease.
  stopping: ({ name }) =>
    name === 'status'
      ? undefined
      : 'stopping; press Ctrl-C again to end at once: another command then waits for up to a minute',
  run,
})

async function run(command: DeployCommand, { output, interruption }: ProgramContext): Promise<Ending> {
  const { signal } = interruption
  const view = new DeployView(output)
  try {
    const plan = await readPlan(command, signal)
    const deployer = new Deployer(plan, { signal, onEvent: (event) => view.show(event) })
    return { outcome: await perform(command, deployer) }
  } catch (error) {
    const reached = error instanceof ClusterFailedError ? { outcome: resultOf(command.name, error.parts) } : {}
    // What a step does when it is told to stop differs; all of it was asked for.
    const text = `${command.name} was interrupted`
    return { error: signal.aborted ? new SkilfishError('INTERRUPTED', text, { cause: error }) : error, ...reached }
  }
}

async function perform(command: DeployCommand, deployer: Deployer): Promise<Outcome> {
  const { name, vms, timeout, atOnce, maxBitrate, discard, keep = 0, setMaxBitrate } = command
  const choice = vms === undefined ? {} : { vms }
  switch (name) {
    case 'up':
      // Not before: machines that this process starts would have to give way, too.
      await deployer.up({ ...choice, beforeFetch: giveWay })
      return resultOf(name, await deployer.status(choice))
    case 'create':
      return resultOf(name, await deployer.create(choice))
    case 'boot':
      return resultOf(name, await deployer.boot(choice))
    case 'fetch': {
      if (setMaxBitrate === undefined) {
        giveWay()
        return resultOf(name, await deployer.fetch(choice))
      }
      await deployer.setMaxBitrate(setMaxBitrate === 'none' ? undefined : setMaxBitrate)
      return { raw: { maxBitrate: setMaxBitrate }, summary: ['fetches under way follow within two seconds'] }
    }
    case 'switch':
      giveWay()
      return resultOf(name, await deployer.switch(choice))
    case 'status':
      return resultOf(name, await deployer.status(choice))
    case 'shutdown':
      return resultOf(
        name,
        await deployer.shutdown({ ...choice, ...(timeout === undefined ? {} : { timeoutMs: timeout }) }),
      )
    case 'commit': {
      const limits = {
        ...(atOnce === undefined ? {} : { atOnce }),
        ...(maxBitrate === undefined ? {} : { maxBitrate }),
      }
      return resultOf(name, await deployer.commit({ ...choice, ...limits }))
    }
    case 'destroy':
      return resultOf(name, await deployer.destroy({ ...choice, isDiscarding: discard === true }))
    case 'abandon':
      return resultOf(name, await deployer.abandon({ vms: vms ?? [] }))
    case 'evict':
      return resultOf(name, await deployer.evict(keep))
  }
}

async function readPlan({ path, set = [] }: DeployCommand, signal: AbortSignal): Promise<ClusterPlan> {
  if (path === undefined) return parseCluster('', 'what --set gives', set)
  if (path === '-') return parseCluster(await readStream(addAbortSignal(signal, process.stdin)), 'standard input', set)
  const text = await readFile(path, 'utf8').catch((cause: unknown) => {
    const isMissing = (cause as NodeJS.ErrnoException).code === 'ENOENT'
    const reason = isMissing ? 'it does not exist' : systemReason(cause)
    throw new SkilfishError('CLUSTER_UNREADABLE', `cannot read ${path}: ${reason}`, { cause })
  })
  return parseCluster(text, path, set)
}
