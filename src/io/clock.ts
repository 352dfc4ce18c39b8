/** Microseconds since the process began: whole, monotonic, unmoved by changes of the wall clock. */
export const monotonicUs = (): number => Math.floor(performance.now() * 1000)
