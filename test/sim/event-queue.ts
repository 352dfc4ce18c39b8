/** What an event queue holds: the time of the event, and its place among those of the same time. */
export interface Timed {
  readonly atUs: number
  /** Set by the queue: events of one time come out in the order in which they went in. */
  order: number
}

/** Events in the order of their times: a binary heap. */
export class EventQueue<Event extends Timed> {
  readonly #heap: Event[] = []
  #nextOrder = 0

  get size(): number {
    return this.#heap.length
  }

  push(event: Event): void {
    event.order = this.#nextOrder++
    const heap = this.#heap
    let at = heap.length
    heap.push(event)
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (isBefore(heap[parent]!, event)) break
      heap[at] = heap[parent]!
      at = parent
    }
    heap[at] = event
  }

  /** Takes the earliest event out; undefined when there is none. */
  pop(): Event | undefined {
    const heap = this.#heap
    const first = heap[0]
    const last = heap.pop()
    if (first === undefined || last === undefined || heap.length === 0) return first
    let at = 0
    for (;;) {
      let child = 2 * at + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && isBefore(heap[child + 1]!, heap[child]!)) child++
      if (isBefore(last, heap[child]!)) break
      heap[at] = heap[child]!
      at = child
    }
    heap[at] = last
    return first
  }
}

const isBefore = (a: Timed, b: Timed): boolean => a.atUs < b.atUs || (a.atUs === b.atUs && a.order < b.order)
