// What is wrong with a value, in the words of whoever wrote it and not in those of the library that found it. Pure.

/** As the library tells it while it judges; `input` is what was found. */
export interface RawIssue {
  readonly code?: string | undefined
  readonly input?: unknown
  readonly expected?: unknown
  readonly origin?: unknown
  readonly minimum?: unknown
  readonly maximum?: unknown
  readonly inclusive?: unknown
  readonly keys?: unknown
  readonly values?: unknown
}

export interface Issue {
  readonly path: readonly PropertyKey[]
  readonly message: string
}

/** To be handed to a schema with the value; undefined leaves the library its own words. */
export function schemaWords(issue: RawIssue): string | undefined {
  switch (issue.code) {
    case 'invalid_type':
      return issue.input === undefined ? 'is missing' : `expected ${kindNamed(String(issue.expected))}`
    case 'invalid_value':
      return issue.input === undefined ? 'is missing' : oneOf(issue.values)
    case 'too_small':
      return bound(issue, Number(issue.minimum), 'at least')
    case 'too_big':
      return bound(issue, Number(issue.maximum), 'at most')
    case 'unrecognized_keys':
      return Array.isArray(issue.keys)
        ? `unknown key ${issue.keys.map((key) => JSON.stringify(key)).join(', ')}`
        : undefined
    default:
      return undefined
  }
}

/** All in one line: `pid: is missing; host: expected a text`. */
export function describeIssues(issues: readonly Issue[], before = ''): string {
  return issues.map((issue) => describeIssue(issue, before)).join('; ')
}

export function describeIssue({ path, message }: Issue, before = ''): string {
  const where = path.map(String).join('.')
  return before + (where === '' ? message : `${where}: ${message}`)
}

const KINDS: Readonly<Record<string, string>> = {
  string: 'a text',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  array: 'a list',
  object: 'an object',
  record: 'an object',
}

function kindNamed(expected: string): string {
  return KINDS[expected] ?? expected
}

function oneOf(values: unknown): string | undefined {
  return Array.isArray(values)
    ? `expected ${values.length === 1 ? '' : 'one of '}${values.join(', ')}`
    : undefined
}

function bound({ origin, inclusive }: RawIssue, limit: number, words: string): string | undefined {
  const isLeast = words === 'at least'
  switch (origin) {
    case 'string':
      return isLeast && limit === 1 ? 'must not be empty' : `has ${words} ${limit} characters`
    case 'array':
      return `has ${words} ${limit} ${limit === 1 ? 'entry' : 'entries'}`
    case 'number':
    case 'int':
      return inclusive === false
        ? `must be ${isLeast ? 'more' : 'less'} than ${limit}`
        : `must be ${words} ${limit}`
    default:
      return undefined
  }
}
