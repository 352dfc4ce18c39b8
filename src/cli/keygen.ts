import { unlink } from 'node:fs/promises'
import { createInterface } from 'node:readline'
import { SkilfishError } from '../errors.ts'
import { createKeyFile } from '../io/index.ts'
import { createKeyText, createPassphraseText, createSigningTexts } from '../trust/index.ts'
import { parseKeygenCommand, type KeygenCommand } from './keygen-command.ts'
import { runProgram, type Ending, type ProgramContext } from './program.ts'

void runProgram({
  name: 'skilfish-keygen',
  parse: () => parseKeygenCommand(process.argv.slice(2)),
  run,
})

async function run({ path, make }: KeygenCommand, { interruption }: ProgramContext): Promise<Ending> {
  if (make === 'pair') {
    const publicPath = `${path}.pub`
    const { privateText, publicText } = createSigningTexts()
    await createKeyFile(path, privateText, 'secret')
    try {
      await createKeyFile(publicPath, publicText, 'public')
    } catch (error) {
      await unlink(path)
      throw error
    }
    return told([
      `made ${path}, for --sign-key of the sender alone`,
      `made ${publicPath}, for --verify-key of receivers`,
    ])
  }
  const text = make === 'key' ? createKeyText() : createPassphraseText(await readLine(interruption.signal))
  await createKeyFile(path, text, 'secret')
  return told([`made ${path}, for --key-file of the sender and of all receivers`])
}

function told(summary: readonly string[]): Ending {
  return { outcome: { raw: {}, summary } }
}

/** The first line of standard input. */
async function readLine(signal: AbortSignal): Promise<string> {
  if (process.stdin.isTTY) process.stderr.write('Passphrase (shown as you type): ')
  for await (const line of createInterface({ input: process.stdin, signal })) return line
  if (signal.aborted) throw new SkilfishError('INTERRUPTED', 'nothing was made')
  throw new SkilfishError(
    'KEY_INVALID',
    'cannot make a group key from a passphrase: standard input is empty; give it there, as the first line',
  )
}
