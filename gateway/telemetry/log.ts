// The log: JSON lines through pino. Never prints what looks like a secret, never holds up the process.

import { type DestinationStream, destination as openDestination, pino } from 'pino'

export type LogLevel = 'debug' | 'info' | 'warn' | 'error' | 'silent'

export type LogFields = Readonly<Record<string, unknown>>

/** What other rooms see of the log. Never throws, never blocks. */
export interface Log {
  debug(fields: LogFields, message: string): void
  info(fields: LogFields, message: string): void
  warn(fields: LogFields, message: string): void
  error(fields: LogFields, message: string): void
  /** Whether lines of this level are written: for those who would put fields together in vain. */
  writes(level: Exclude<LogLevel, 'silent'>): boolean
  /** The same log with fields on every line, such as `{ room: 'proxy' }`. */
  child(fields: LogFields): Log
  setLevel(level: LogLevel): void
  /** Writes what is still buffered, before the process ends. */
  flush(): void
}

export interface LogOptions {
  readonly level: LogLevel
  /** On every line. */
  readonly fields?: LogFields
  /** A file descriptor, or a sink of lines. Default: standard output. */
  readonly destination?: number | { write(line: string): void }
}

/** Lines past this are dropped while the reader of the log stands still. */
const BUFFERED_BYTES_MAX = 8_388_608

const SECRET_KEYS = [
  'password',
  'token',
  'secret',
  'authorization',
  'cookie',
  'privateKey',
  'signed',
  '["x-auth-token"]',
  '["x-subject-token"]',
  '["fencing-token"]',
]

export function createLog(options: LogOptions): Log {
  const sink = options.destination ?? 1
  const stream: DestinationStream & { flushSync?: () => void } =
    typeof sink === 'number'
      ? openDestination({ dest: sink, sync: false, maxLength: BUFFERED_BYTES_MAX })
      : sink
  const root = pino(
    {
      level: options.level,
      base: options.fields ?? null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { error: describeError },
      redact: {
        paths: SECRET_KEYS.flatMap((key) =>
          key.startsWith('[') ? [key, `*${key}`, `*.*${key}`] : [key, `*.${key}`, `*.*.${key}`],
        ),
        censor: '[secret]',
      },
    },
    stream,
  )
  return wrap(root, () => stream.flushSync?.())
}

type Inner = Pick<
  ReturnType<typeof pino>,
  'debug' | 'info' | 'warn' | 'error' | 'child' | 'level' | 'isLevelEnabled'
>

function wrap(inner: Inner, flush: () => void): Log {
  return {
    debug: (fields, message) => inner.debug(fields, message),
    info: (fields, message) => inner.info(fields, message),
    warn: (fields, message) => inner.warn(fields, message),
    error: (fields, message) => inner.error(fields, message),
    writes: (level) => inner.isLevelEnabled(level),
    child: (fields) => wrap(inner.child(fields), flush),
    setLevel: (level) => {
      inner.level = level
    },
    flush,
  }
}

/** An error as fields, its causes included, at most four deep. */
function describeError(error: unknown): unknown {
  const chain: { name: string; message: string; code?: string }[] = []
  let current = error
  while (current instanceof Error && chain.length < 4) {
    const code = 'code' in current && typeof current.code === 'string' ? { code: current.code } : {}
    chain.push({ name: current.name, message: current.message, ...code })
    current = current.cause
  }
  if (chain.length === 0) return error
  const [first, ...causes] = chain
  return {
    ...first,
    ...(causes.length === 0 ? {} : { causes }),
    stack: error instanceof Error ? error.stack : undefined,
  }
}
