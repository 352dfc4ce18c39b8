import { availableParallelism } from 'node:os'
import { basename } from 'node:path'
import { defineConfig, type ViteUserConfig } from 'vitest/config'
import { BaseSequencer, type TestSpecification } from 'vitest/node'

const project = (name: string, extra: object = {}) => ({
  test: { name, include: [`test/${name}/**/*.test.ts`], passWithNoTests: false, ...extra },
})

/** Computation alone: as many files at a time as there are processors. Vitest would leave one idle, which on two is half. */
const computing = { maxWorkers: availableParallelism() }

/** Real processes, sockets and devices, which take longer on a busy machine than the usual 5 s. */
const patient = { testTimeout: 120_000, hookTimeout: 120_000 }

/**
 * Two files at a time, as they wait more than they compute: for guests to boot, for silence to pass. Names, ports, folders and devices are
 * each file's own. More at a time, and emulated guests would starve each other.
 */
const paired = (groupOrder: number) => ({ ...patient, maxWorkers: 2, sequence: { groupOrder } })

/** One file at a time, after all others. */
const serial = { ...patient, fileParallelism: false }

/** System tests that tolerate no other: they measure time or work done, or what nobody but they may touch. */
const ALONE = ['bench', 'floods', 'lab', 'peers', 'transfer'].map((name) => `test/system/${name}.test.ts`)

/** What takes minutes, the longest first: begun last, one of them would keep one processor waiting for the other at the end. */
const LONGEST = ['deployer-faults', 'deployer', 'deployer-ceph-stopped', 'faults'].map((name) => `${name}.test.ts`)

class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = ({ moduleId }: TestSpecification): number => {
      const index = LONGEST.indexOf(basename(moduleId))
      return index === -1 ? LONGEST.length : index
    }
    return (await super.sort(files)).sort((a, b) => rank(a) - rank(b))
  }
}

const config: ViteUserConfig = defineConfig({
  test: {
    sequence: { sequencer: LongestFirst },
    projects: [
      // Some compare many random cases with a slow reference: on a busy machine that takes longer than the usual 5 s.
      project('unit', { ...computing, testTimeout: 30_000 }),
      project('property', { ...computing, testTimeout: 60_000 }),
      project('sim', { ...computing, testTimeout: 120_000 }),
      project('model', { ...computing, testTimeout: 120_000 }),
      project('e2e', paired(1)),
      project('system', { ...paired(2), exclude: ALONE }),
      project('system-alone', { ...serial, include: ALONE }),
      project('package', serial),
    ],
  },
})

export default config
