// What main.ts takes from the command line.

export { fetchWith } from './control-fetch.ts'
export type { CommandDependencies, FetchLike, Output, PolicyCatalog } from './dependencies.ts'
export { COMMANDS, runCommandLine } from './run.ts'
