// A thread of `EncoderPool`: encodes one frame after the other. The buffers move here and back; none is copied.
import { parentPort, workerData } from 'node:worker_threads'
import type { Codec } from '../protocol/index.ts'
import { FrameEncoder } from './frame-encoder.ts'
import type { EncodeJob, EncodeReply } from './encoder-pool.ts'

const port = parentPort!
const encoder = new FrameEncoder(workerData as Codec)

port.on('message', ({ buffer, offset, lengthBytes, headBytes }: EncodeJob) => {
  const frameBytes = encoder.encode(new Uint8Array(buffer, offset, lengthBytes), headBytes)
  const reply: EncodeReply = { buffer, frameBytes }
  port.postMessage(reply, [buffer])
})
port.postMessage('ready')
