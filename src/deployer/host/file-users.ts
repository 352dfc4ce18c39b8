import { readdir, readFile, readlink } from 'node:fs/promises'

/**
 * Who has which files open on this host, as far as this user may look: programs with their process numbers, by path without links.
 * What is only mapped into memory is not seen.
 */
export async function openFiles(): Promise<ReadonlyMap<string, readonly string[]>> {
  const users = new Map<string, string[]>()
  for (const pid of await readdir('/proc')) {
    if (!/^\d+$/.test(pid)) continue
    // A process may end at any time, and those of others are not shown.
    const descriptors = await readdir(`/proc/${pid}/fd`).catch((): string[] => [])
    const links = await Promise.all(descriptors.map((fd) => readlink(`/proc/${pid}/fd/${fd}`).catch(() => undefined)))
    const paths = new Set(links.filter((link) => link?.startsWith('/')))
    if (paths.size === 0) continue
    const program = (await readFile(`/proc/${pid}/comm`, 'utf8').catch(() => 'process')).trim()
    for (const path of paths as Set<string>) {
      const known = users.get(path)
      if (known === undefined) users.set(path, [`${program} (${pid})`])
      else known.push(`${program} (${pid})`)
    }
  }
  return users
}
