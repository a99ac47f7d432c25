// What the composition root uses of this room.

export { compilePolicy, makeCatalogue, type PolicyCatalogue } from './catalogue.ts'
export type { CompileTerms } from './compile.ts'
export { describePolicy, type PolicyDescription, type RuleDescription } from './description.ts'
export { type ExampleFailure, exampleCall, failedExamples } from './example.ts'
export { type Checked, formatPolicyFault, type PackFault, type PolicyFault } from './fault.ts'
export { loadPack, loadPolicies, type Pack, readOverrides, readPackValue } from './pack.ts'
