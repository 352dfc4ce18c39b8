export * from './block-jobs.ts'
export * from './block-nodes.ts'
export * from './machine.ts'
export { QmpClient, type QmpCommandOptions, type QmpConnectOptions } from './qmp-client.ts'
export {
  encodeQmpCommand,
  MAX_MESSAGE_BYTES,
  QmpReader,
  type JsonObject,
  type QmpEvent,
  type QmpGreeting,
  type QmpMessage,
} from './qmp-codec.ts'
