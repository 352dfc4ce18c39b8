import { open } from 'node:fs/promises'

/** Makes the names in a folder as durable as the data behind them. A folder that may be written but not read cannot be flushed. */
export async function syncFolder(path: string): Promise<void> {
  const handle = await open(path, 'r').catch(() => undefined)
  if (handle === undefined) return
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}
