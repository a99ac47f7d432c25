// What `{name|filter}` does to a captured value before it becomes part of a lock's name. A filter that finds no sense
// in a value answers null, and the call is refused: a lock is never guessed.

/**
 * Takes and gives the parts of a name; a part may hold any character, the template escapes it. No parts: the value names
 * nothing that could be locked.
 */
export type Filter = (parts: readonly string[]) => readonly string[] | null

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/
const LOWER_ID = /^[a-z0-9][a-z0-9_-]{0,254}$/

interface FilterEntry {
  readonly summary: string
  readonly apply: Filter
  /** An empty value means something to it, and is no fault. */
  readonly takesEmpty?: boolean
}

export const FILTERS: ReadonlyMap<string, FilterEntry> = new Map<string, FilterEntry>([
  ['lower', { summary: 'lower case', apply: (parts) => parts.map((part) => part.toLowerCase()) }],
  ['upper', { summary: 'upper case', apply: (parts) => parts.map((part) => part.toUpperCase()) }],
  [
    'uuid',
    {
      summary: 'a UUID with hyphens, in lower case; anything else is refused',
      apply: single((value) => {
        if (UUID.test(value)) return [value]
        const lower = value.toLowerCase()
        return UUID.test(lower) ? [lower] : null
      }),
    },
  ],
  [
    'id',
    {
      summary: 'letters, digits, hyphens and underscores, in lower case; anything else is refused',
      // In one case, and without what a backend may take for the same: accents and spaces (collations), dots (formats).
      apply: single((value) => {
        if (LOWER_ID.test(value)) return [value]
        return /^[A-Za-z0-9][A-Za-z0-9_-]{0,254}$/.test(value) ? [value.toLowerCase()] : null
      }),
    },
  ],
  [
    'moref',
    {
      summary: 'the id of a vSphere object; another spelling of one that ends in a number is refused',
      // `vm-12`, `vm-012` and `VM-12` may be one machine to somebody who reads the number, as may `12` and `012` of ESXi.
      apply: single((value) => (isPlainMoref(value) ? [value] : null)),
    },
  ],
  [
    'integer',
    {
      summary: 'a decimal number without sign or leading zeros; anything else is refused',
      apply: single((value) => (/^(?:0|[1-9][0-9]{0,38})$/.test(value) ? [value] : null)),
    },
  ],
  [
    'absolute',
    {
      summary: 'a path that begins with a slash, without that; anything else is refused',
      apply: single((value) => (value.startsWith('/') ? [value.slice(1)] : null)),
    },
  ],
  [
    'basename',
    { summary: 'the last part of a path', apply: single((value) => pathParts(value)?.slice(-1) ?? null) },
  ],
  [
    'top',
    { summary: 'the first part of a path', apply: single((value) => pathParts(value)?.slice(0, 1) ?? null) },
  ],
  ['parts', { summary: 'a path, its slashes kept', apply: single(pathParts) }],
  [
    'datastore',
    {
      summary:
        'the name of a datastore as it stands between the brackets of a path; anything else is refused',
      apply: single((value) => (isDatastore(value) ? [value] : null)),
    },
  ],
  [
    'datastore-name',
    { summary: 'ds of "[ds] dir/file"', apply: single((value) => datastorePath(value)?.slice(0, 1) ?? null) },
  ],
  [
    'datastore-folder',
    {
      summary: 'ds/dir of "[ds] dir/sub/file": the datastore and the top-level folder',
      apply: single((value) => datastorePath(value)?.slice(0, 2) ?? null),
    },
  ],
  [
    'datastore-covering',
    {
      summary:
        'as datastore-path, cut off at the folder that `covering` declares, with the folders above it shared',
      apply: single(datastorePath),
    },
  ],
  [
    'covering',
    {
      summary: 'as parts, cut off at the folder that `covering` declares, with the folders above it shared',
      apply: single(trimmedParts),
    },
  ],
  [
    'datastore-file',
    {
      summary:
        'a path on a datastore as it is; nothing, where it is empty, a datastore alone, or a file of the host',
      takesEmpty: true,
      apply: single((value) => (namesNoFile(value) ? [] : [value])),
    },
  ],
  ['datastore-path', { summary: 'ds/dir/file of "[ds] dir/file"', apply: single(datastorePath) }],
])

const PLAIN_MOREF = /^[a-z]+-[a-z]?[1-9][0-9]*$/
const NUMBERED = /^(?:[a-z]+-[a-z]?)?[0-9]+$/

function isPlainMoref(value: string): boolean {
  if (PLAIN_MOREF.test(value)) return true
  // Ends in the name of a network, whatever that is.
  if (value.startsWith('HaNetwork-')) return true
  const plain = value.normalize('NFKC').toLowerCase()
  return !NUMBERED.test(plain) || (plain === value && !/(?:^|[^0-9])0[0-9]/.test(value))
}

function single(apply: (value: string) => readonly string[] | null): Filter {
  return (parts) => (parts.length === 1 ? apply(parts[0] ?? '') : null)
}

/** The parts of a relative path; null where it holds empty parts, dot parts or backslashes. */
function pathParts(path: string): readonly string[] | null {
  const parts = (path.endsWith('/') ? path.slice(0, -1) : path).split('/')
  return parts.some((part) => part === '' || part === '.' || part === '..' || part.includes('\\'))
    ? null
    : parts
}

/** `[ds] dir/file` as `['ds', 'dir', 'file']`; `[ds]` alone is the datastore. URLs of datastores are refused. */
function datastorePath(written: string): readonly string[] | null {
  const close = written.indexOf(']')
  if (!written.startsWith('[') || close < 2) return null
  const name = written.slice(1, close)
  const rest = written.charCodeAt(close + 1) === 0x20 ? written.slice(close + 2) : written.slice(close + 1)
  if (!isDatastore(name)) return null
  if (rest === '') return [name]
  const parts = trimmedParts(rest)
  return parts === null ? null : [name, ...parts]
}

function isDatastore(name: string): boolean {
  return name === name.trim() && !/[[\]]/.test(name)
}

/** The parts of a path on a datastore: white space around one may be no part of it to the server. */
function trimmedParts(path: string): readonly string[] | null {
  const parts = pathParts(path)
  return parts?.every((part) => part === part.trim()) === true ? parts : null
}

/** What settings of machines may hold in place of a file on a datastore: images that every host brings with it. */
function namesNoFile(written: string): boolean {
  return (
    written === '' ||
    /^\[[^[\]]+\]$/.test(written) ||
    /^(?:\[\] ?)?\/(?:usr\/lib\/vmware|vmimages)\/(?:[\w-][\w.-]*\/)*[\w-][\w.-]*$/.test(written)
  )
}
