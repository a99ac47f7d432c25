// What is wrong with a policy pack, as data: all of it at once, each with its place in the file.

/** A fault by its place in the pack's values, before a file is known. */
export interface PackFault {
  readonly path: readonly PropertyKey[]
  readonly message: string
  /** Whether the fault lies in the key at `path` and not in its value. */
  readonly atKey?: boolean
}

export interface PolicyFault {
  readonly file: string
  /** From 1. */
  readonly line: number
  /** From 1. */
  readonly column: number
  /** Such as `rules[3].path`; empty for the whole file. */
  readonly path: string
  readonly message: string
}

export type Checked<Value, Fault> =
  | { readonly ok: true; readonly value: Value }
  | { readonly ok: false; readonly faults: readonly Fault[] }

export function formatPolicyFault(fault: PolicyFault): string {
  return `${fault.file}:${fault.line}:${fault.column}: ${fault.message}`
}

export function formatFaultPath(path: readonly PropertyKey[]): string {
  return path
    .map((step, index) =>
      typeof step === 'number' ? `[${step}]` : index === 0 ? String(step) : `.${String(step)}`,
    )
    .join('')
}
