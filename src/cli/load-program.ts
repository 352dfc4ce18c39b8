import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { basename, join } from 'node:path'
import { Script } from 'node:vm'
import { EXIT_STATUS } from '../errors.ts'

/** A program and what it was compiled to begin with the same bytes. A multiple of 8: V8 copies what is not aligned. */
const STAMP_BYTES = 40

/** The files of a program. */
export const programPaths = (name: string): { readonly bundle: string; readonly code: string } => ({
  bundle: join(import.meta.dirname, `${name}-program.js`),
  code: join(import.meta.dirname, `${name}-program.code`),
})

/**
 * Runs a program of this folder, in its compiled form where there is one for this version of Node.js: reading and compiling half a
 * mebibyte at each start takes as long as the start of Node.js itself.
 */
export function loadProgram(name: string): void {
  const { bundle, code } = programPaths(name)
  // Each program ends the process itself. One that waits for nothing any more before that has not done its work.
  process.exitCode = EXIT_STATUS.internal
  const run = compileProgram(readFileSync(bundle, 'latin1'), bundle, readCode(code)).runInThisContext() as Program
  run(createRequire(bundle), bundle, import.meta.dirname)
}

type Program = (require: NodeJS.Require, path: string, folder: string) => void

/**
 * @param code as {@link compiledCode} gave it; not used when it is of other text, another version or other options of V8
 * @returns a script whose value is the program as a function
 */
export function compileProgram(text: string, path: string, code?: Buffer): Script {
  const isOfText = code?.subarray(0, STAMP_BYTES).equals(Buffer.from(text.slice(0, STAMP_BYTES), 'latin1')) === true
  const source = `(function (require, __filename, __dirname) {${text}\n})`
  // What is compiled keeps the name that it had where it was compiled, for stack traces: it must not tell of that machine.
  const filename = basename(path)
  return new Script(source, { filename, ...(isOfText ? { cachedData: code.subarray(STAMP_BYTES) } : {}) })
}

/** What of a script need not be compiled again, by what {@link compileProgram} knows it. */
export const compiledCode = (text: string, script: Script): Buffer =>
  Buffer.concat([Buffer.from(text.slice(0, STAMP_BYTES), 'latin1'), script.createCachedData()])

function readCode(path: string): Buffer | undefined {
  try {
    return readFileSync(path)
  } catch {
    return undefined
  }
}
