#!/usr/bin/env node
import { keepFreedMemory } from '../io/index.ts'
import { receive } from '../receiver/index.ts'
import { checkedByLibrary } from './failure.ts'
import { runProgram, type Ending, type ProgramContext } from './program.ts'
import { parseReceiveCommand, type ReceiveCommand } from './receive-command.ts'
import { receiveOutcome, receiveUpdate } from './receive-view.ts'

await runProgram({
  name: 'skilfish-recv',
  parse: () => parseReceiveCommand(process.argv.slice(2), process.env['SKILFISH_DROP']),
  // Standard output may be the target.
  streams: ({ options }) => ({ json: options.target === '-' ? process.stderr : process.stdout, text: process.stderr }),
  run,
})

async function run({ options, output: choice }: ReceiveCommand, context: ProgramContext): Promise<Ending> {
  const { output, interruption } = context
  void keepFreedMemory()
  const handle = checkedByLibrary(() =>
    receive({
      ...options,
      signal: interruption.signal,
      onProgress: (progress) => output.progress(receiveUpdate(progress)),
      onLog: (line) => output.log(line),
    }),
  )
  return { outcome: receiveOutcome(await handle.finished, options.target, choice.isVerbose) }
}
