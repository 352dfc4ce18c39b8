// What a host needs, without what only deployers do.
export { AGENT_VERSION, ALIVE_MS, type StepMessage, type StepOrder, type StepRequest } from '../host-protocol.ts'
export { runStep } from './run-step.ts'
