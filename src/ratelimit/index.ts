export * from './adaptive-rate.ts'
export * from './bitrate.ts'
export * from './pacing.ts'
export * from './token-bucket.ts'
