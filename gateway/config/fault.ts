// What is wrong with a configuration, as data, and how it is printed.

export interface ConfigFault {
  readonly file: string
  /** From 1. */
  readonly line: number
  /** From 1. */
  readonly column: number
  /** Where in the configuration, such as `backends.cinder.listen`; empty for the document itself. */
  readonly path: string
  readonly message: string
  /** What would have been right; null where the message says it. */
  readonly expected: string | null
  /** The known name that was probably meant. */
  readonly suggestion: string | null
}

/** One line each: `file:line:column: message — expected …; did you mean "…"?` */
export function formatFaults(faults: readonly ConfigFault[]): string {
  return faults.map((fault) => `${formatFault(fault)}\n`).join('')
}

export function formatFault(fault: ConfigFault): string {
  const expected = fault.expected === null ? '' : ` — expected ${fault.expected}`
  const suggestion = fault.suggestion === null ? '' : `; did you mean "${fault.suggestion}"?`
  return `${fault.file}:${fault.line}:${fault.column}: ${fault.message}${expected}${suggestion}`
}

/** In the order of the file. */
export function sortFaults(faults: readonly ConfigFault[]): readonly ConfigFault[] {
  return faults.toSorted((a, b) => a.line - b.line || a.column - b.column || a.path.localeCompare(b.path))
}
