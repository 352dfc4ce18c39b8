export { ReceiverMachine } from './receiver-machine.ts'
export type {
  ReceiverCommand,
  ReceiverEvent,
  ReceiverMachineOptions,
  ReceiverStats,
  SymbolDecoder,
} from './receiver-options.ts'
export { SettledMap } from './settled-map.ts'
