/** What a target says of what must always hold. */
export function must(holds: boolean, what: string): void {
  if (!holds) throw new Error(what)
}

export const same = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0
