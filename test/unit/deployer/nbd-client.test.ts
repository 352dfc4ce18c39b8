import { rmSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { NbdClient } from '../../../src/deployer/host/nbd-client.ts'
import { expectFailure } from '../io/expect-failure.ts'
import { useTemporaryFolder } from '../io/temporary-folder.ts'

const SIZE_BYTES = 1024 * 1024
const TIMEOUT_MS = 5000

const inFolder = useTemporaryFolder()
let server: Server
let clients: Socket[] = []
beforeEach(() => {
  clients = []
})
afterEach(() => {
  for (const client of clients) client.destroy()
  server.close()
})

/** Written from the text of the protocol, doc/proto.md of github.com/NetworkBlockDevice/nbd, apart from the client. */
const GREETING = Buffer.from('NBDMAGICIHAVEOPT\0\x03', 'latin1')

function optionReply(type: number, body: Buffer): Buffer {
  const head = Buffer.alloc(20)
  Buffer.from('0003e889045565a9', 'hex').copy(head)
  head.writeUInt32BE(7, 8)
  head.writeUInt32BE(type, 12)
  head.writeUInt32BE(body.length, 16)
  return Buffer.concat([head, body])
}

/** The facts of the export, then the end of the choice. */
function agreement(sizeBytes = SIZE_BYTES): Buffer {
  const facts = Buffer.alloc(12)
  facts.writeBigUInt64BE(BigInt(sizeBytes), 2)
  return Buffer.concat([optionReply(3, facts), optionReply(1, Buffer.alloc(0))])
}

function reply(handle: bigint, data: Buffer, errorNumber = 0): Buffer {
  const head = Buffer.alloc(16)
  head.writeUInt32BE(0x67446698, 0)
  head.writeUInt32BE(errorNumber, 4)
  head.writeBigUInt64BE(handle, 8)
  return Buffer.concat([head, data])
}

interface Request {
  readonly command: number
  readonly handle: bigint
  readonly offset: number
  readonly lengthBytes: number
}

interface Script {
  readonly greeting?: Buffer
  readonly agreement?: Buffer
  /** What to say to requests; they come one by one, without the data of writes. */
  readonly onRequest?: (request: Request, socket: Socket) => void
}

/** A server that follows a script, and a place where it listens. */
async function serve({ greeting = GREETING, agreement: choice = agreement(), onRequest }: Script): Promise<string> {
  const path = inFolder('socket')
  server = createServer((socket) => {
    clients.push(socket)
    socket.on('error', () => undefined)
    socket.write(greeting)
    let hasChosen = false
    let rest: Buffer = Buffer.alloc(0)
    socket.on('data', (bytes: Buffer) => {
      rest = Buffer.concat([rest, bytes])
      if (!hasChosen) {
        if (rest.length < 20 || rest.length < 20 + rest.readUInt32BE(16)) return
        rest = rest.subarray(20 + rest.readUInt32BE(16))
        hasChosen = true
        socket.write(choice)
      }
      for (; rest.length >= 28; rest = rest.subarray(28)) {
        const [command, handle] = [rest.readUInt16BE(6), rest.readBigUInt64BE(8)]
        const request = {
          ...{ command, handle },
          ...{ offset: Number(rest.readBigUInt64BE(16)), lengthBytes: rest.readUInt32BE(24) },
        }
        onRequest?.(request, socket)
      }
    })
  })
  await new Promise<void>((resolve) => server.listen(path, resolve))
  return path
}

const connected = async (script: Script, timeoutMs = TIMEOUT_MS): Promise<NbdClient> =>
  NbdClient.connect({ path: await serve(script) }, 'disk', timeoutMs)

const filled = ({ offset, lengthBytes }: Request): Buffer => Buffer.alloc(lengthBytes, offset / 4096)

describe('a server that keeps to the protocol', () => {
  it('is asked for an export, and tells its size', async () => {
    expect((await connected({})).sizeBytes).toBe(SIZE_BYTES)
  })

  it('may answer in any order', async () => {
    const held: Request[] = []
    const client = await connected({
      onRequest: (request, socket) => {
        held.push(request)
        if (held.length < 3) return
        for (const one of held.reverse()) socket.write(reply(one.handle, filled(one)))
      },
    })
    const read = await Promise.all([1, 2, 3].map((block) => client.read(block * 4096, 4096)))
    expect(read.map((bytes) => [bytes.length, bytes[0], bytes[4095]])).toEqual([1, 2, 3].map((n) => [4096, n, n]))
  })

  it('may answer a byte at a time', async () => {
    const client = await connected({
      onRequest: (request, socket) => {
        for (const byte of reply(request.handle, filled(request))) socket.write(Buffer.of(byte))
      },
    })
    expect(await client.read(4096, 100)).toEqual(Buffer.alloc(100, 1))
  })

  it('may fail one request and go on with others', async () => {
    const client = await connected({
      onRequest: (request, socket) => {
        const isBad = request.offset === 0
        socket.write(reply(request.handle, isBad ? Buffer.alloc(0) : filled(request), isBad ? 5 : 0))
      },
    })
    await expectFailure(client.read(0, 512), 'NBD_FAILED', 'disk at', 'error 5')
    expect(await client.read(8192, 512)).toEqual(Buffer.alloc(512, 2))
  })

  it('is told goodbye, and asked nothing then', async () => {
    const commands: number[] = []
    const client = await connected({
      onRequest: ({ command }, socket) => {
        commands.push(command)
        socket.end()
      },
    })
    await client.close()
    expect(commands).toEqual([2])
    await expectFailure(client.read(0, 512), 'NBD_FAILED', 'it is closed')
  })
})

describe('a server that does not', () => {
  it.each<[string, Script, string]>([
    ['greets as something else', { greeting: Buffer.from('SSH-2.0-OpenSSH_9.2p1') }, 'does not greet as an NBD server'],
    [
      'refuses the export, with control characters',
      { agreement: optionReply(0x80000006, Buffer.from('no such\nexport')) },
      'it refuses: no such?export',
    ],
    ['refuses without a word', { agreement: optionReply(0x80000006, Buffer.alloc(0)) }, 'it refuses: error 6'],
    [
      'answers the choice with noise',
      { agreement: Buffer.alloc(20, 7) },
      'its answer to the choice of an export is none',
    ],
    [
      'announces an answer of 4 GB',
      { agreement: Buffer.from('0003e889045565a90000000700000003ffffffff', 'hex') },
      'its answer to the choice of an export is none',
    ],
  ])('%s', async (_, script, text) => {
    await expectFailure(connected(script), 'NBD_FAILED', 'disk at', text)
  })

  it.each<[string, (request: Request, socket: Socket) => void, string]>([
    [
      'answers what nobody asked',
      ({ handle }, socket) => socket.write(reply(handle + 9n, Buffer.alloc(512))),
      'nobody asked',
    ],
    ['answers with noise', (_, socket) => socket.write(Buffer.alloc(16, 7)), 'nobody asked'],
    [
      'ends in the middle of an answer',
      ({ handle }, socket) => socket.end(reply(handle, Buffer.alloc(100))),
      'it ended the connection',
    ],
  ])('%s', async (_, onRequest, text) => {
    const client = await connected({ onRequest })
    await expectFailure(client.read(0, 512), 'NBD_FAILED', text)
    // The connection is of no use then.
    await expectFailure(client.read(0, 512), 'NBD_FAILED', text)
  })

  it('says nothing at all, before or after the choice', async () => {
    await expectFailure(connected({ greeting: Buffer.alloc(0) }, 50), 'NBD_FAILED', 'it has not answered for 50 ms')
    server.close()
    rmSync(inFolder('socket'), { force: true })
    const client = await connected({}, 50)
    await expectFailure(client.read(0, 512), 'NBD_FAILED', 'it has not answered for 50 ms')
  })
})

it('takes up to 32 MiB and 64 requests at once', async () => {
  const client = await connected({})
  expect(() => client.read(0, 32 * 1024 * 1024 + 1)).toThrow(RangeError)
  for (let count = 0; count < 64; count++) client.read(0, 512).catch(() => undefined)
  expect(() => client.read(0, 512)).toThrow('64 requests at once')
})
