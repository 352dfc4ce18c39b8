export * from './sender-machine.ts'
export * from './sender-options.ts'
