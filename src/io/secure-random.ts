import { randomBytes } from 'node:crypto'
import type { Random } from '../random.ts'

/** Numbers that nobody can guess, from the system's generator: 32 random bits each. */
export const secureRandom: Random = () => randomBytes(4).readUInt32BE(0) / 2 ** 32
