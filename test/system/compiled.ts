import { readFileSync } from 'node:fs'
import ts from 'typescript'

/** A module of TypeScript as JavaScript: the oldest Node.js that the tests run with takes nothing else. */
export function compiled(module: URL): string {
  return ts.transpileModule(readFileSync(module, 'utf8'), {
    compilerOptions: {
      module: ts.ModuleKind.ESNext,
      target: ts.ScriptTarget.ES2022,
      verbatimModuleSyntax: true,
      rewriteRelativeImportExtensions: true,
    },
  }).outputText
}
