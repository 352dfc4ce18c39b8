#!/usr/bin/env node
// Each part is loaded only where it is wanted: a host starts this program for every step, beside machines that need its processors.
if (process.argv[2] === 'host' && process.argv.length === 3) {
  const { runHostCommand } = await import('./host-command.ts')
  process.exit(await runHostCommand())
}
const { runDeployProgram } = await import('./deploy-program.ts')
await runDeployProgram()
