export * from './image.ts'
