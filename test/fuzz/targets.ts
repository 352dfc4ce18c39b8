import { packetDecoders } from './packet-decoders.ts'
import { fileDecoders } from './file-decoders.ts'
import type { FuzzTarget } from './fuzz.ts'
import { machines } from './machines.ts'

/** Everything that takes bytes from outside. */
export const targets: readonly FuzzTarget[] = [...packetDecoders, ...machines, ...fileDecoders]
