/** The least or the most that something may be. */
export type Bound = { readonly atLeast: number } | { readonly atMost: number }

/** Something measured, held to what is asked of it. */
export interface Verdict {
  readonly label: string
  /** NaN when it could not be measured: no bound is met then. */
  readonly measured: number
  /** Of `measured` and the bound; `×` for ratios. */
  readonly unit: Unit
  /** Absent where nothing is asked. */
  readonly bound?: Bound
  readonly isMet?: boolean
}

export type Unit = '×' | '%' | 'ms' | 'MiB'

export function judge(label: string, measured: number, unit: Unit, bound?: Bound): Verdict {
  if (!bound) return { label, measured, unit }
  const isMet = 'atLeast' in bound ? measured >= bound.atLeast : measured <= bound.atMost
  return { label, measured, unit, bound, isMet }
}
