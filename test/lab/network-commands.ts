import { runCommand } from './command.ts'

/** Runs a command in a network namespace to its end. @returns its standard output */
export function runIn(namespace: string, command: string, args: readonly string[], input = ''): string {
  return runCommand('ip', ['netns', 'exec', namespace, command, ...args], input)
}

/** Runs the `ip` commands in turn, in one process; stops at the first that fails. */
export function ip(commands: readonly string[], namespace?: string): void {
  const where = namespace === undefined ? [] : ['-n', namespace]
  runCommand('ip', [...where, '-batch', '-'], `${commands.join('\n')}\n`)
}

/** Hands all lines to nftables as one change: all or nothing. */
export function nft(namespace: string, lines: readonly string[]): void {
  runIn(namespace, 'nft', ['-f', '-'], `${lines.join('\n')}\n`)
}

/** Turns features of a device on and off: `tso off gro on`. */
export function ethtool(namespace: string, device: string, features: string): void {
  runIn(namespace, 'ethtool', ['-K', device, ...features.split(' ')])
}

/** Sets one of the namespace's own kernel settings. */
export function configure(namespace: string, setting: string, value: number): void {
  runIn(namespace, 'tee', [`/proc/sys/${setting}`], `${value}\n`)
}
