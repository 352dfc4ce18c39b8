import type { Socket } from 'node:dgram'
import type { Peer } from './peer-name.ts'

/**
 * How long messages may wait until they are looked for, milliseconds, and how many bytes: about a slice, so that a fast flow comes in
 * as evenly as if Node.js told of it. Ours.
 */
const LOOK_MS = 4
const LOOK_BYTES = 262_144

/** Clocks may tell of no time between two looks, milliseconds. */
const LEAST_MS = 0.001

/** Many come when Node.js has told of so many within so long: twice as often as they may be looked for. Ours. */
const MANY_COUNT = 32
const MANY_WITHIN_MS = 64

/** Few come when so many looks have found messages less often than this. Ours. */
const LOOK_COUNT = 64
const FEW_COUNT = 16

export interface WatchHooks {
  /** Node.js tells of a message by receiving it: its bytes, lent for the time of the call. */
  onFirst(bytes: Uint8Array, from: Peer): void
  /** Takes what waits. @returns how many bytes; `hasMore` where some may still wait, so that the event loop has its turn */
  onLook(): { readonly bytes: number; readonly hasMore: boolean }
}

/**
 * Watches a socket for messages. While few come, Node.js tells of each at once. While many come, they are looked for every millisecond
 * to four instead, as network drivers do (NAPI of Linux): most of what a message costs is to be woken up for it. Node.js cannot be told
 * not to listen, so it has no hold of the socket then.
 */
export class MessageWatch {
  readonly #adopt: (() => Socket) | undefined
  readonly #hooks: WatchHooks
  /** While Node.js listens. */
  #socket: Socket | undefined
  #timer: NodeJS.Timeout | undefined
  #soon: NodeJS.Immediate | undefined
  /** When it was looked last, and what came of late: an average over some {@link LOOK_MS}. */
  #lookedMs = 0
  #bytesPerMs = 0
  /** Of the present {@link MANY_WITHIN_MS}, or {@link LOOK_COUNT}. */
  #beganMs = 0
  #toldCount = 0
  #lookCount = 0
  #foundCount = 0
  #isClosed = false

  /** @param adopt has Node.js listen to the socket again; undefined: Node.js tells of all messages, however many */
  constructor(adopt: (() => Socket) | undefined, hooks: WatchHooks) {
    this.#adopt = adopt
    this.#hooks = hooks
  }

  /** Watches a socket to which Node.js listens. */
  listen(socket: Socket): void {
    this.#socket = socket
    this.#toldCount = 0
    this.#beganMs = performance.now()
    socket.on('message', (bytes, from) => {
      // Not a Buffer, so that all messages are of one kind to the compiler.
      this.#hooks.onFirst(new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length), from)
      if (this.#socket === socket && this.#adopt !== undefined) this.#countTold()
    })
    // What the kernel reports on receiving (a peer that has gone, for instance) ends nothing.
    socket.on('error', ignore)
  }

  /** Ends at once; `done` is called when Node.js has let go of the socket, after this call has returned. */
  close(done: () => void): void {
    clearTimeout(this.#timer)
    clearImmediate(this.#soon)
    this.#isClosed = true
    if (this.#socket === undefined) process.nextTick(done)
    else this.#socket.close(done)
    this.#socket = undefined
  }

  #countTold(): void {
    const nowMs = performance.now()
    if (nowMs - this.#beganMs > MANY_WITHIN_MS) {
      this.#beganMs = nowMs
      this.#toldCount = 0
    }
    if (++this.#toldCount === MANY_COUNT) this.#beginLooking(nowMs)
  }

  #beginLooking(nowMs: number): void {
    this.#socket!.close()
    this.#socket = undefined
    this.#lookCount = this.#foundCount = 0
    this.#lookedMs = nowMs
    this.#bytesPerMs = 0
    this.#timer = setTimeout(this.#look, LOOK_MS)
  }

  readonly #look = (): void => {
    const nowMs = performance.now()
    const passedMs = nowMs - this.#lookedMs
    this.#lookedMs = nowMs
    const { bytes, hasMore } = this.#hooks.onLook()
    if (this.#isClosed) return
    if (bytes > 0) this.#foundCount++
    if (++this.#lookCount === LOOK_COUNT) {
      if (this.#foundCount < FEW_COUNT && this.#listenAgain()) return
      this.#lookCount = this.#foundCount = 0
    }
    const weight = Math.min(1, passedMs / LOOK_MS)
    this.#bytesPerMs += weight * (bytes / Math.max(passedMs, LEAST_MS) - this.#bytesPerMs)
    const waitMs = Math.min(LOOK_MS, LOOK_BYTES / this.#bytesPerMs) - (performance.now() - nowMs)
    if (hasMore || waitMs <= 0) this.#soon = setImmediate(this.#look)
    else this.#timer = setTimeout(this.#look, Math.ceil(waitMs))
  }

  /** @returns false when the system has no descriptor left: looking goes on */
  #listenAgain(): boolean {
    try {
      this.listen(this.#adopt!())
      return true
    } catch {
      return false
    }
  }
}

const ignore = (): void => undefined
