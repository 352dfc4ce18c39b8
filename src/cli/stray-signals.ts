/**
 * Ignores SIGUSR1 and SIGUSR2, which only the sender has a use for: by default, Node.js answers the first with a debugger that lets in
 * whoever reaches its port (and it may be root's, and hold keys), and the second ends the process without cleaning up.
 */
export function ignoreStraySignals(): void {
  for (const signal of ['SIGUSR1', 'SIGUSR2']) process.on(signal, () => undefined)
}
