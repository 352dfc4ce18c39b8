export { parseCluster, type ClusterPlan, type HostPlan, type VmPlan } from './cluster-file.ts'
export { CLUSTER_SCHEMA } from './cluster-schema.ts'
export { Deployer, type Choice, type DeployerOptions } from './deployer.ts'
export type {
  BootResult,
  CommitResult,
  CreateResult,
  DeployerEvent,
  FetchResult,
  Operation,
  Part,
  SwitchResult,
  VmView,
} from './deployer-events.ts'
export { AGENT_VERSION, ALIVE_MS } from './host-protocol.ts'
export type {
  CommitReport,
  EvictReport,
  StepHooks,
  StepMessage,
  StepRequest,
  StepResults,
  SwitchReport,
  TransferPlace,
  VmHardware,
  VmStatus,
} from './host-protocol.ts'
export { runStep } from './host/index.ts'
export { ClusterFailedError } from './parts.ts'
