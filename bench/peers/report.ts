import type { Environment } from '../environment.ts'
import type { Findings } from './findings.ts'
import type { Verdict } from './verdict.ts'

/** Everything that one run of the benchmark found; what the JSON file holds. */
export interface Report extends Findings {
  /** Names the files. */
  readonly name: string
  readonly roundCount: number
  readonly environment: Environment
  /** The bars that the plan was made for, then what is asked in every scenario. */
  readonly verdicts: readonly Verdict[]
}
