export { adviceOf } from './advice.ts'
export { listen, type ListenOptions } from './listener.ts'
export { probe, type PathFindings, type ProbeOptions, type ProbeResult } from './prober.ts'
