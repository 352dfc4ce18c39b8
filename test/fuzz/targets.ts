import { decoders } from './decoders.ts'
import type { FuzzTarget } from './fuzz.ts'
import { machines } from './machines.ts'

/** Everything that takes bytes from outside. */
export const targets: readonly FuzzTarget[] = [...decoders, ...machines]
