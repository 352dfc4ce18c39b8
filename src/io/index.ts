export * from './libc.ts'
export { openSource } from './open-source.ts'
