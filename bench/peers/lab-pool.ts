import { Lab } from '../../test/lab/lab.ts'

/**
 * One lab for each number of receivers and MTU: hosts that take no part would get every packet too, and cost time. Labs at rest
 * cost none.
 */
export class LabPool {
  readonly #labs = new Map<string, Lab>()

  /** The lab with exactly so many receivers, without losses; built on the first call. */
  get(receiverCount: number, mtuBytes: number): Lab {
    const key = `${receiverCount} × ${mtuBytes}`
    const lab = this.#labs.get(key) ?? Lab.up({ receiverCount, mtuBytes })
    this.#labs.set(key, lab)
    lab.loss(0)
    return lab
  }

  /** Takes all labs down. */
  down(): void {
    for (const lab of this.#labs.values()) lab.down()
    this.#labs.clear()
  }
}
