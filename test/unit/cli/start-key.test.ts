import { EventEmitter } from 'node:events'
import type { ReadStream } from 'node:tty'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { isForegroundStat, listenForKey } from '../../../src/cli/start-key.ts'

class FakeTerminal extends EventEmitter {
  isRaw = false
  isPaused = false

  setRawMode(isRaw: boolean): void {
    this.isRaw = isRaw
  }

  pause(): void {
    this.isPaused = true
  }

  press(key: string): void {
    this.emit('data', Buffer.from(key))
  }
}

let stop: (() => void) | undefined
beforeEach(() => vi.useFakeTimers({ toFake: ['performance'] }))
afterEach(() => {
  stop?.()
  vi.useRealTimers()
})

function rig(
  isForeground = (): boolean => true,
  waitMs = 1000,
): {
  terminal: FakeTerminal
  onKey: ReturnType<typeof vi.fn>
  onInterrupt: ReturnType<typeof vi.fn>
} {
  const terminal = new FakeTerminal()
  const [onKey, onInterrupt] = [vi.fn(), vi.fn()]
  stop = listenForKey(terminal as unknown as ReadStream, { onKey, onInterrupt }, isForeground)
  vi.advanceTimersByTime(waitMs)
  return { terminal, onKey, onInterrupt }
}

it.each([' ', 'q', '\r', '\n', 'ä'])('starts at the key %j, once, and puts the terminal back', (key) => {
  const { terminal, onKey, onInterrupt } = rig()
  expect(terminal.isRaw).toBe(true)
  terminal.press(key)
  terminal.press(key)
  expect(onKey).toHaveBeenCalledOnce()
  expect(onInterrupt).not.toHaveBeenCalled()
  expect(terminal).toMatchObject({ isRaw: false, isPaused: true })
})

it.each(['\x04', '\x00', '\x1b[A', '\x7f'])('does not start at the control character %j', (key) => {
  const { terminal, onKey } = rig()
  terminal.press(key)
  expect(onKey).not.toHaveBeenCalled()
  terminal.press('x')
  expect(onKey).toHaveBeenCalledOnce()
})

it('does not start at what was typed before it listened', () => {
  const { terminal, onKey } = rig(undefined, 0)
  terminal.press('x')
  expect(onKey).not.toHaveBeenCalled()
  vi.advanceTimersByTime(1000)
  terminal.press('x')
  expect(onKey).toHaveBeenCalledOnce()
})

it('hands Ctrl-C on, and the second one too', () => {
  const { terminal, onKey, onInterrupt } = rig()
  terminal.press('\x03')
  terminal.press('\x03')
  expect(onInterrupt).toHaveBeenCalledTimes(2)
  expect(onKey).not.toHaveBeenCalled()
})

it('lets Ctrl-Z suspend, with the terminal as it was, and listens again after that', () => {
  const kill = vi.spyOn(process, 'kill').mockReturnValue(true)
  const { terminal, onKey } = rig()
  terminal.press('\x1a')
  expect(kill).toHaveBeenCalledWith(process.pid, 'SIGTSTP')
  expect(terminal.isRaw).toBe(false)
  process.emit('SIGCONT')
  expect(terminal.isRaw).toBe(true)
  terminal.press('x')
  expect(onKey).toHaveBeenCalledOnce()
  kill.mockRestore()
})

it('does not touch the terminal after it was put into the background', () => {
  let isForeground = true
  const { terminal } = rig(() => isForeground)
  terminal.setRawMode(false)
  isForeground = false
  process.emit('SIGCONT')
  expect(terminal.isRaw).toBe(false)
})

it('listens no longer once it is stopped', () => {
  const { terminal, onKey } = rig()
  stop?.()
  stop?.()
  terminal.press(' ')
  process.emit('SIGCONT')
  expect(onKey).not.toHaveBeenCalled()
  expect(terminal.isRaw).toBe(false)
})

it('survives a terminal that is closed', () => {
  const { terminal } = rig()
  expect(() => terminal.emit('error', new Error('EIO'))).not.toThrow()
})

it('tells foreground from background by the process groups', () => {
  expect(isForegroundStat('7 (node) R 1 7 7 34816 7 4194304 0')).toBe(true)
  expect(isForegroundStat('7 (node) R 1 7 5 34816 5 4194304 0')).toBe(false)
  expect(isForegroundStat('7 (a) b (c)) S 1 9 5 34816 9 4194304 0')).toBe(true)
})
