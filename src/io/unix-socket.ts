import { connect, type Socket } from 'node:net'

/** How often a socket that nobody listens on is tried again, milliseconds. */
const RETRY_MS = 20

/**
 * Connects to a Unix socket.
 * @param patienceMs how long to try again while the socket is not there or nobody listens: its owner may be about to start
 * @throws errors of connect(2) as they come
 */
export async function connectUnixSocket(path: string, patienceMs: number): Promise<Socket> {
  const deadlineMs = performance.now() + patienceMs
  for (;;) {
    try {
      return await connectOnce(path)
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      if ((code !== 'ENOENT' && code !== 'ECONNREFUSED') || performance.now() >= deadlineMs) throw error
    }
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS))
  }
}

const connectOnce = (path: string): Promise<Socket> =>
  new Promise((resolve, reject) => {
    const socket = connect(path)
    socket.once('error', reject)
    socket.once('connect', () => {
      socket.off('error', reject)
      resolve(socket)
    })
  })
