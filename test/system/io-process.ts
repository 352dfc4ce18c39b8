import type { ChildProcess } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import type { Lab } from '../lab/lab.ts'
import { compiled } from './compiled.ts'

const ROOT = new URL('../../', import.meta.url)

/** What a script has at hand. `say` prints a value for {@link IoProcess.next}. */
const PRELUDE = `
import { parseGroup } from './io/group-address.js'
import { resolveInterface } from './io/network-interface.js'
import { openUdpSocket } from './io/udp-socket.js'
const say = (value) => console.log(JSON.stringify(value))
const settled = (send) => new Promise((resolve) => send((error) => resolve(error?.code ?? 'sent')))
`

/** The modules of `src/io` compiled to a folder of their own. */
export class CompiledIo {
  readonly folder: string
  #scriptCount = 0

  constructor() {
    this.folder = mkdtempSync(join(tmpdir(), 'skilfish-io-'))
    mkdirSync(join(this.folder, 'io'))
    writeFileSync(join(this.folder, 'package.json'), '{ "type": "module" }')
    symlinkSync(fileURLToPath(new URL('node_modules', ROOT)), join(this.folder, 'node_modules'))
    for (const name of readdirSync(new URL('src/io', ROOT))) this.#compile(`io/${name}`)
    this.#compile('errors.ts')
  }

  /** Runs a script on a host. It has `openUdpSocket`, `parseGroup`, `resolveInterface`, `settled` and `say`. */
  start(lab: Lab, hostIndex: number, script: string, env: NodeJS.ProcessEnv = {}): IoProcess {
    const path = join(this.folder, `script-${this.#scriptCount++}.js`)
    writeFileSync(path, PRELUDE + script)
    return new IoProcess(lab.spawn(hostIndex, process.execPath, [path], { env: { ...process.env, ...env } }))
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true })
  }

  #compile(path: string): void {
    writeFileSync(join(this.folder, path.replace(/\.ts$/, '.js')), compiled(new URL(`src/${path}`, ROOT)))
  }
}

/** A script under way. */
export class IoProcess {
  readonly #child: ChildProcess
  readonly #lines: AsyncIterator<string>
  #errors = ''

  constructor(child: ChildProcess) {
    this.#child = child
    this.#lines = createInterface({ input: child.stdout! })[Symbol.asyncIterator]()
    child.stderr!.on('data', (text) => (this.#errors += String(text)))
  }

  /** The next value that the script says. */
  async next(): Promise<unknown> {
    const line = await this.#lines.next()
    if (line.done) throw new Error(`The script ended without a word\n${this.#errors}`)
    return JSON.parse(line.value)
  }

  /** Goes on where the script waits for its standard input. */
  proceed(): void {
    this.#child.stdin!.write('\n')
  }
}
