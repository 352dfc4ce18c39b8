export * from './machine/index.ts'
export * from './receive-options.ts'
export * from './verify-target.ts'
export { receive } from './receiver.ts'
