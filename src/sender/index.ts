export * from './machine/index.ts'
export * from './send-options.ts'
export { send } from './sender.ts'
