// A thread of `EncoderPool`: encodes one frame after the other. The buffers move here and back; none is copied.
import { parentPort, workerData } from 'node:worker_threads'
import { FrameEncoder } from './frame-encoder.ts'
import type { EncodeJob, EncodeReply, EncoderChoice } from './encoder-pool.ts'

const port = parentPort!
const { codec, digestKind } = workerData as EncoderChoice
const encoder = new FrameEncoder(codec, digestKind)

port.on('message', ({ buffer, offset, lengthBytes, headBytes }: EncodeJob) => {
  const frameBytes = encoder.encode(new Uint8Array(buffer, offset, lengthBytes), headBytes)
  const reply: EncodeReply = { buffer, frameBytes }
  port.postMessage(reply, [buffer])
})
port.postMessage('ready')
