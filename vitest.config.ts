import { defineConfig, type ViteUserConfig } from 'vitest/config'

const project = (name: string, extra: object = {}) => ({
  test: { name, include: [`test/${name}/**/*.test.ts`], passWithNoTests: false, ...extra },
})

// Real processes, sockets and devices: one file at a time, so that they do not disturb each other.
const serial = { fileParallelism: false, testTimeout: 120_000, hookTimeout: 120_000 }

const config: ViteUserConfig = defineConfig({
  test: {
    projects: [
      // Some compare many random cases with a slow reference: on a busy machine that takes longer than the usual 5 s.
      project('unit', { testTimeout: 30_000 }),
      project('property', { testTimeout: 60_000 }),
      project('sim', { testTimeout: 120_000 }),
      project('model', { testTimeout: 120_000 }),
      project('e2e', serial),
      project('system', serial),
      project('package', serial),
    ],
  },
})

export default config
