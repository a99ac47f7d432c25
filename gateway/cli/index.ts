// What main.ts takes from the command line.

export type { CommandDependencies, FetchLike, Output, PolicyCatalog } from './dependencies.ts'
export { COMMANDS, runCommandLine } from './run.ts'
