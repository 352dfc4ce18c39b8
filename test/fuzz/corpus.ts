import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { FuzzTarget } from './fuzz.ts'

const pathOf = (target: FuzzTarget): string => join(import.meta.dirname, 'corpus', `${target.name}.txt`)

/** What is kept for a target: the inputs made from real messages, and those that runs have found, an input in base64 a line. */
export function readCorpus(target: FuzzTarget): Uint8Array[] {
  const path = pathOf(target)
  const lines = existsSync(path) ? readFileSync(path, 'utf8').split('\n') : []
  const found = lines.filter((line) => line !== '').map((line) => Uint8Array.from(Buffer.from(line, 'base64')))
  return [...target.seeds(), ...found]
}

/** Keeps the inputs beside those made from real messages. */
export function writeCorpus(target: FuzzTarget, inputs: readonly Uint8Array[]): void {
  const lines = [...new Set(inputs.map((input) => Buffer.from(input).toString('base64')))].sort()
  writeFileSync(pathOf(target), lines.map((line) => `${line}\n`).join(''))
}
