import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { JsonObject } from '../../../src/qmp/index.ts'

export const GREETING: { readonly QMP: object } = {
  QMP: { version: { qemu: { major: 7, minor: 2, micro: 22 }, package: 'fake' }, capabilities: ['oob'] },
}

/** A command as it arrived. */
export interface Command {
  readonly execute?: string
  readonly 'exec-oob'?: string
  readonly arguments: JsonObject
  readonly id: number
}

export interface Script {
  /** Said to whoever connects. Default {@link GREETING}; null for nothing. */
  readonly greeting?: unknown
  /** Answers `qmp_capabilities`. By default, well. */
  readonly onNegotiation?: (command: Command, say: (...messages: readonly unknown[]) => void) => void
  /** Called for each other command. Without it nothing is answered. */
  readonly onCommand?: (command: Command, say: (...messages: readonly unknown[]) => void, socket: Socket) => void
  /** Everything is sent in pieces of so many bytes, one at a time. */
  readonly pieceBytes?: number
}

/** What stands in for QEMU where QEMU does not misbehave on command: a server on a real socket that follows a script. */
export class FakeQemu {
  readonly path: string
  readonly commands: Command[] = []
  readonly #folder: string
  readonly #server: Server

  private constructor(folder: string, script: Script) {
    this.#folder = folder
    this.path = join(folder, 'qmp')
    this.#server = createServer((socket) => this.#serve(socket, script))
  }

  /** One that does not listen yet. */
  static create(script: Script = {}): FakeQemu {
    return new FakeQemu(mkdtempSync(join(tmpdir(), 'skilfish-qmp-')), script)
  }

  async listen(): Promise<void> {
    this.#server.listen(this.path)
    await once(this.#server, 'listening')
  }

  stop(): void {
    this.#server.close()
    rmSync(this.#folder, { recursive: true, force: true })
  }

  #serve(socket: Socket, { greeting = GREETING, onNegotiation = agree, onCommand, pieceBytes }: Script): void {
    let last = Promise.resolve()
    const say = (...messages: readonly unknown[]): void => {
      const bytes = Buffer.from(
        messages.map((one) => `${typeof one === 'string' ? one : JSON.stringify(one)}\r\n`).join(''),
      )
      last = last.then(() => write(socket, bytes, pieceBytes ?? bytes.length))
    }
    socket.on('error', () => undefined)
    if (greeting !== null) say(greeting)
    let text = ''
    socket.setEncoding('utf8').on('data', (chunk: Buffer | string) => {
      const lines = (text + String(chunk)).split('\n')
      text = lines.pop() ?? ''
      for (const line of lines) {
        const command = JSON.parse(line) as Command
        this.commands.push(command)
        if (command.execute === 'qmp_capabilities') onNegotiation(command, say)
        else onCommand?.(command, say, socket)
      }
    })
  }
}

const agree: Script['onNegotiation'] & {} = ({ id }, say) => say({ return: {}, id })

async function write(socket: Socket, bytes: Uint8Array, pieceBytes: number): Promise<void> {
  for (let at = 0; at < bytes.length && !socket.destroyed; at += pieceBytes) {
    await new Promise<void>((resolve) => socket.write(bytes.subarray(at, at + pieceBytes), () => resolve()))
    await new Promise((resolve) => setImmediate(resolve))
  }
}
