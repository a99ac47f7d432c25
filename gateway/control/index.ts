// What the composition root may take from the control room.

export type { Credential, Role } from './authentication.ts'
export type { CheckedBackend, CheckSources } from './check.ts'
export type { EventFeed, FeedEvent } from './event-stream.ts'
export type { Exposition } from './health.ts'
export type { ControlLog } from './room.ts'
export { type ControlOptions, type RunningControl, startControl } from './server.ts'
