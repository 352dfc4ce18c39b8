import { readFileSync } from 'node:fs'
import type { ReadStream } from 'node:tty'

const CTRL_C = 0x03
/** Enter, in raw mode and otherwise. */
const ENTER: readonly number[] = [0x0d, 0x0a]
/** What is read so soon was there before anybody could see the prompt, milliseconds. */
const TYPED_BEFORE_MS = 150
/** Keys that stop or quit a program on most terminals; raw mode keeps the kernel from acting on them. */
const SIGNAL_KEYS: Readonly<Record<number, NodeJS.Signals>> = { 0x1a: 'SIGTSTP', 0x1c: 'SIGQUIT' }

/**
 * Waits for a key on a terminal, unbuffered and unechoed: Enter or what writes something. Control characters are none (a terminal whose
 * input has ended yields Ctrl-D), nor is what was typed before. Returns what ends the wait and puts the terminal back (to be called
 * any number of times); a key ends it too.
 */
export function listenForKey(
  terminal: ReadStream,
  handlers: { readonly onKey: () => void; readonly onInterrupt: () => void },
  isForeground: () => boolean = isForegroundProcess,
): () => void {
  const beganMs = performance.now()
  let isListening = true
  const stop = (): void => {
    if (!isListening) return
    isListening = false
    terminal.off('data', handle)
    process.off('SIGCONT', resume)
    terminal.setRawMode(false)
    terminal.pause()
  }
  const resume = (): void => {
    // It may have been put into the background meanwhile.
    if (isForeground()) terminal.setRawMode(true)
  }
  const handle = (bytes: Buffer): void => {
    const key = bytes[0]!
    const signal = SIGNAL_KEYS[key]
    if (key === CTRL_C) {
      handlers.onInterrupt()
    } else if (signal !== undefined) {
      terminal.setRawMode(false)
      process.kill(process.pid, signal)
    } else if (isPlain(key) && performance.now() - beganMs >= TYPED_BEFORE_MS) {
      stop()
      handlers.onKey()
    }
  }
  terminal.on('data', handle)
  // A terminal that is closed fails its reader; SIGHUP tells the rest of the program.
  terminal.on('error', () => undefined)
  process.on('SIGCONT', resume)
  resume()
  return stop
}

const isPlain = (key: number): boolean => ENTER.includes(key) || (key >= 0x20 && key !== 0x7f)

/**
 * Whether this process may set up its terminal. A background job that tries is stopped by the kernel (SIGTTOU), so it must not.
 * Where the system does not tell, true.
 */
export function isForegroundProcess(): boolean {
  try {
    return isForegroundStat(readFileSync('/proc/self/stat', 'latin1'))
  } catch {
    return true
  }
}

/** proc_pid_stat(5): after the command's name in parentheses come state, ppid, pgrp, session, tty_nr, tpgid. */
export function isForegroundStat(stat: string): boolean {
  const [, , pgrp, , , tpgid] = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return pgrp === tpgid
}
