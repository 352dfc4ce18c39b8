import { seededRandom, type Random } from '../../src/random.ts'
import { Link, type Deliver, type LinkSpec } from './link.ts'

/** The sender's place on the network. */
export const SENDER = -1

/** A packet (or several of one size back to back) that arrives at a party: a receiver's index, or {@link SENDER}. */
export interface Arrival {
  readonly kind: 'arrival'
  readonly atUs: number
  order: number
  readonly to: number
  readonly from: number
  readonly bytes: Uint8Array
}

/** Where arrivals wait for their time. */
export interface ArrivalQueue {
  push(arrival: Arrival): void
}

/** Decides over one packet before the dice do: true loses it. `to` is a receiver's index, or {@link SENDER}. */
export type PacketFilter = (packet: Uint8Array, to: number, from: number) => boolean

/** A sender's group and the receivers' way back to it. */
export interface NetworkSpec {
  /** What the sender's own uplink does: the same for all receivers. */
  readonly uplink?: LinkSpec
  readonly filter?: PacketFilter
}

/** A receiver's own path: from the group, and back to the sender. */
export interface PathSpec {
  readonly down?: LinkSpec
  readonly up?: LinkSpec
}

interface Path {
  down: Link
  up: Link
  isPluggedIn: boolean
}

/**
 * A multicast network in virtual time: what the sender sends once has the uplink's fate for all, then a fate of its own on the
 * way to each receiver. Packets are shared between receivers, never copied for one.
 */
export class Network {
  readonly #queue: ArrivalQueue
  readonly #random: Random
  #uplink: Link
  readonly #filter: PacketFilter | undefined
  readonly #paths: Path[] = []
  #packetCount = 0
  /** The arguments of the delivery under way, kept here so that no closure is made for each packet. */
  #to = 0
  #from = 0
  readonly #deliver = (atUs: number, bytes: Uint8Array): void => {
    this.#queue.push({ kind: 'arrival', atUs, order: 0, to: this.#to, from: this.#from, bytes })
  }
  #segmentBytes = 0
  readonly #fanOut = (atUs: number, bytes: Uint8Array): void => {
    this.#from = SENDER
    for (let index = 0; index < this.#paths.length; index++) {
      const path = this.#paths[index]!
      if (!path.isPluggedIn) continue
      this.#to = index
      if (this.#filter === undefined) path.down.carry(atUs, bytes, this.#segmentBytes, this.#deliver)
      else this.#carryFiltered(path.down, atUs, bytes)
    }
  }

  constructor(spec: NetworkSpec, seed: number, queue: ArrivalQueue) {
    this.#queue = queue
    this.#random = seededRandom(seed)
    this.#uplink = new Link(spec.uplink ?? {}, this.#ownRandom())
    this.#filter = spec.filter
  }

  /** Packets that the sender and the receivers put on the network. */
  get packetCount(): number {
    return this.#packetCount
  }

  /** Adds the path of the next receiver. It hears nothing before {@link plug}. */
  addPath(spec: PathSpec): void {
    this.#paths.push({ ...this.#makeLinks(spec), isPluggedIn: false })
  }

  /** From now on a receiver's path treats packets like this; those under way come as they would have. */
  setPath(index: number, spec: PathSpec): void {
    Object.assign(this.#paths[index]!, this.#makeLinks(spec))
  }

  /** The same for the sender's uplink. */
  setUplink(spec: LinkSpec): void {
    this.#uplink = new Link(spec, this.#ownRandom())
  }

  /** Connects a receiver to the network or cuts it off, in both directions. */
  plug(index: number, isPluggedIn: boolean): void {
    this.#paths[index]!.isPluggedIn = isPluggedIn
  }

  /** Somebody else's packets, of `segmentBytes` each, share the sender's uplink: `deliver` gets those that pass. */
  crossUplink(nowUs: number, bytes: Uint8Array, segmentBytes: number, deliver: Deliver): void {
    this.#uplink.carry(nowUs, bytes, segmentBytes, deliver)
  }

  /** The sender sends a run of packets to the group. The network keeps `bytes`. */
  multicast(nowUs: number, bytes: Uint8Array, segmentBytes: number): void {
    this.#packetCount += Math.ceil(bytes.length / segmentBytes)
    this.#segmentBytes = segmentBytes
    this.#uplink.carry(nowUs, bytes, segmentBytes, this.#fanOut)
  }

  /** A receiver sends a packet to the sender. The network keeps `bytes`. */
  unicast(nowUs: number, from: number, bytes: Uint8Array): void {
    this.#packetCount++
    this.#to = SENDER
    this.#from = from
    if (!this.#paths[from]!.isPluggedIn || this.#filter?.(bytes, SENDER, from) === true) return
    this.#paths[from]!.up.carry(nowUs, bytes, bytes.length, this.#deliver)
  }

  /** A stranger's packet: it arrives at that party, a receiver's index or {@link SENDER}, at that time. The network keeps `bytes`. */
  inject(atUs: number, to: number, bytes: Uint8Array): void {
    this.#queue.push({ kind: 'arrival', atUs, order: 0, to, from: SENDER, bytes })
  }

  #carryFiltered(link: Link, atUs: number, bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; at += this.#segmentBytes) {
      const packet = bytes.subarray(at, at + this.#segmentBytes)
      if (this.#filter!(packet, this.#to, SENDER)) continue
      link.carry(atUs, packet, packet.length, this.#deliver)
    }
  }

  #makeLinks(spec: PathSpec): { readonly down: Link; readonly up: Link } {
    const down = new Link(spec.down ?? {}, this.#ownRandom())
    return { down, up: new Link(spec.up ?? {}, this.#ownRandom()) }
  }

  #ownRandom(): Random {
    return seededRandom(Math.floor(this.#random() * 4_294_967_296))
  }
}
