// What other rooms may take from the configuration.

export type { CheckResult, Knowledge, PolicyKnowledge, RoomFault, TlsMaterial } from './check.ts'
export { driversNamedIn } from './drivers.ts'
export { type ConfigFault, formatFault, formatFaults } from './fault.ts'
export { openInventory } from './inventory.ts'
export { formatListen, isLoopback, type ListenAddress, parseListen } from './listen.ts'
export { type LoadRequest, type LoadResult, loadConfig } from './load.ts'
export { nearest } from './nearest.ts'
export type {
  BackendConfig,
  Config,
  ControlConfig,
  FencerConfig,
  PlanConfig,
  StoreConfig,
} from './schema.ts'
export { Secret } from './secret.ts'
export { lockSources } from './source-section.ts'
