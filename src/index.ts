export { EXIT_STATUS, SkilfishError, type ErrorCode } from './errors.ts'
export {
  isIncompleteTarget,
  openSink,
  openSource,
  type SinkOptions,
  type SourceOptions,
  type UdpSocketFacts,
} from './io/index.ts'
export { formatBitrate, parseBitrate } from './ratelimit/index.ts'
export {
  receive,
  verifyTarget,
  type ReceiveHandle,
  type ReceiveOptions,
  type ReceiveProgress,
  type ReceiveResult,
  type ReceiverStats,
  type VerifyOptions,
  type VerifyResult,
} from './receiver/index.ts'
export {
  ReceiversFailedError,
  send,
  type Compression,
  type FecPolicy,
  type ReceiverView,
  type SendHandle,
  type SendOptions,
  type SendProgress,
  type SendResult,
  type SenderStats,
  type SlowPolicy,
} from './sender/index.ts'
export type {
  Extent,
  ImageFacts,
  ImageSink,
  ImageSource,
  RandomAccessSource,
  Range,
  StreamSource,
} from './sparse/index.ts'
