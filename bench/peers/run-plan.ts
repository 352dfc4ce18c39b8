import { makeMemoryFolder } from '../memory-folder.ts'
import type { Findings, StartSummary } from './findings.ts'
import { imageName, makeImage, type BenchImage } from './images.ts'
import { LabPool } from './lab-pool.ts'
import { estimateSeconds, type Plan } from './plan.ts'
import { runCase, type CaseRun } from './run-case.ts'
import { BASE, describeScenario, isPeer, type Case } from './scenario.ts'
import { measureStart, type StartFigures } from './start-times.ts'
import { spreadOf } from './statistics.ts'
import { summarize } from './summary.ts'

/** How often a peer may try in one round: UDPcast, for one, may miss a receiver that has come, or drop it. */
const MAX_TRIES = 3

/** A run is given up after so many times what was expected, but not before so many milliseconds. */
const PATIENCE = 4
const MIN_TIMEOUT_MS = 60_000

const START_RECEIVER_COUNT = 4

/** Enough to see the first packet of. */
const START_IMAGE = { ...BASE, imageMib: 16 }

interface Outcome {
  readonly plan: Case
  readonly runs: CaseRun[]
  readonly failures: string[]
}

/**
 * Runs all cases in turn, round by round, so that whatever else the machine does meets all of them alike. What fails is told in
 * the findings, and ends nothing.
 *
 * @param say is told what goes on, in pieces of text
 * @param keep is given all that was found, and in how many rounds, after each round: who ends the program has lost one round at the most
 */
export async function runPlan(
  plan: Plan,
  roundCount: number,
  say: (text: string) => void,
  keep: (findings: Findings, roundCount: number) => void,
): Promise<void> {
  const labs = new LabPool()
  const { path: folder, remove } = makeMemoryFolder('bench', () => labs.down())
  try {
    const images = await makeImages(plan, folder, say)
    const outcomes = plan.cases.map((one): Outcome => ({ plan: one, runs: [], failures: [] }))
    const start = { figures: [] as StartFigures[], failures: [] as string[] }
    const beganMs = performance.now()
    for (let round = 1; round <= roundCount; round++) {
      say(`round ${round} of ${roundCount}\n`)
      for (const outcome of outcomes) await runInRound(outcome, { labs, images, folder, say })
      if (plan.measuresStart) {
        say('  start of our commands: ')
        await note(start.figures, start.failures, say, async () => {
          const lab = labs.get(START_RECEIVER_COUNT + 1, BASE.mtuBytes)
          const figures = await measureStart(lab, images.get(imageName(START_IMAGE))!.path, folder)
          return { figures, text: `${figures.firstDataMs.toFixed(0)} ms` }
        })
      }
      const summaries = outcomes.map(({ plan: one, runs, failures }) => summarize(one, runs, failures))
      keep({ images, summaries, ...(plan.measuresStart ? { start: summarizeStart(start) } : {}) }, round)
      const leftMinutes = (((performance.now() - beganMs) / round) * (roundCount - round)) / 60_000
      if (round < roundCount) say(`about ${Math.ceil(leftMinutes)} min more\n`)
    }
  } finally {
    remove()
  }
}

interface Place {
  readonly labs: LabPool
  readonly images: ReadonlyMap<string, BenchImage>
  readonly folder: string
  readonly say: (text: string) => void
}

async function runInRound({ plan, runs, failures }: Outcome, { labs, images, folder, say }: Place): Promise<void> {
  const { program, scenario } = plan
  const tries = isPeer(program) ? MAX_TRIES : 1
  for (let left = tries; left > 0; left--) {
    say(`  ${program}, ${describeScenario(scenario)}: `)
    const hasSucceeded = await note(runs, failures, say, async () => {
      const run = await runCase(plan, {
        lab: labs.get(scenario.receiverCount, scenario.mtuBytes),
        sourcePath: images.get(imageName(scenario))!.path,
        folder,
        timeoutMs: Math.max(MIN_TIMEOUT_MS, estimateSeconds(plan) * PATIENCE * 1000),
        known: runs.at(-1)?.rate,
      })
      return { figures: run, text: `${(run.wholeRunMs / 1000).toFixed(2)} s` }
    })
    if (hasSucceeded) return
  }
}

/** Keeps the figures, or why there are none; resolves to whether there are any. */
async function note<Figures>(
  kept: Figures[],
  failures: string[],
  say: (text: string) => void,
  measure: () => Promise<{ readonly figures: Figures; readonly text: string }>,
): Promise<boolean> {
  try {
    const { figures, text } = await measure()
    kept.push(figures)
    say(`${text}\n`)
    return true
  } catch (error) {
    failures.push(error instanceof Error ? error.message : String(error))
    say(`failed\n${failures.at(-1)!}\n`)
    return false
  }
}

async function makeImages(plan: Plan, folder: string, say: (text: string) => void): Promise<Map<string, BenchImage>> {
  const scenarios = plan.cases.map(({ scenario }) => scenario)
  const images = new Map<string, BenchImage>()
  for (const scenario of plan.measuresStart ? [...scenarios, START_IMAGE] : scenarios) {
    const name = imageName(scenario)
    if (images.has(name)) continue
    say(`making ${name}\n`)
    images.set(name, await makeImage(scenario, folder))
  }
  return images
}

function summarizeStart({ figures, failures }: { figures: StartFigures[]; failures: string[] }): StartSummary {
  return {
    receiverReadyMs: spreadOf(figures.flatMap(({ receiverReadyMs }) => receiverReadyMs)),
    firstDataMs: spreadOf(figures.map(({ firstDataMs }) => firstDataMs)),
    nodeMs: spreadOf(figures.map(({ nodeMs }) => nodeMs)),
    failures,
  }
}
