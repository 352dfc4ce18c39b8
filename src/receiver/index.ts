export * from './machine/index.ts'
export * from './receive-options.ts'
export { receive } from './receiver.ts'
