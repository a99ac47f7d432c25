// What a driver, a policy tool or a store of others is written against.

export type * from './clock.ts'
export type * from './events.ts'
export * from './fencer.ts'
export type * from './policy.ts'
export * from './store.ts'
