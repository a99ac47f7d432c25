// The SQLite file of the embedded store: tables, statements, one commit for a batch. It decides nothing, and never
// answers before what it wrote is on the disk.

import { closeSync, existsSync, fsyncSync, mkdirSync, openSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { DatabaseSync, type StatementSync } from 'node:sqlite'
import type { LeaseId, Revision } from '../../core/names.ts'
import type { KeyValue } from '../../spi/store.ts'
import type { KeyRange } from '../key-range.ts'

export const FILE_NAME = 'fencegate.db'

const SCHEMA_VERSION = 1

/** As in etcd: the revision of a store that nothing was ever written to. */
const FIRST_REVISION = 1

// The revision is a row of its own, never derived from the keys: a deletion must not take it back.
const SCHEMA = `
  CREATE TABLE counter (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
  INSERT INTO counter (name, value) VALUES ('revision', ${FIRST_REVISION});
  CREATE TABLE lease (id TEXT PRIMARY KEY, ttl_ms INTEGER NOT NULL) STRICT, WITHOUT ROWID;
  CREATE TABLE pair (
    key BLOB PRIMARY KEY,
    value BLOB NOT NULL,
    create_revision INTEGER NOT NULL,
    mod_revision INTEGER NOT NULL,
    lease TEXT REFERENCES lease (id)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX pair_by_lease ON pair (lease) WHERE lease IS NOT NULL;
  PRAGMA user_version = ${SCHEMA_VERSION};
`

const SQLITE_BUSY = 5

export interface StoredLease {
  readonly lease: LeaseId
  readonly ttlMs: number
}

type Row = Record<string, unknown>

export class EmbeddedDatabase {
  readonly file: string
  readonly #sqlite: DatabaseSync
  readonly #revision: StatementSync
  readonly #setRevision: StatementSync
  readonly #one: StatementSync
  readonly #range: StatementSync
  readonly #rangeToEnd: StatementSync
  readonly #put: StatementSync
  readonly #delete: StatementSync
  readonly #leases: StatementSync
  readonly #lease: StatementSync
  readonly #addLease: StatementSync
  readonly #deleteLease: StatementSync
  readonly #keysOfLease: StatementSync

  /** Opens or creates the file in `folder` (created too) and locks it for as long as this process has it open. */
  constructor(folder: string) {
    this.file = join(resolve(folder), FILE_NAME)
    createFolder(resolve(folder))
    this.#sqlite = openLocked(this.file)
    const prepare = (sql: string): StatementSync => this.#sqlite.prepare(sql)
    const columns = 'key, value, create_revision, mod_revision, lease'
    this.#revision = prepare("SELECT value FROM counter WHERE name = 'revision'")
    this.#setRevision = prepare("UPDATE counter SET value = ? WHERE name = 'revision'")
    this.#one = prepare(`SELECT ${columns} FROM pair WHERE key = ?`)
    this.#range = prepare(`SELECT ${columns} FROM pair WHERE key >= ? AND key < ? ORDER BY key`)
    this.#rangeToEnd = prepare(`SELECT ${columns} FROM pair WHERE key >= ? ORDER BY key`)
    this.#put = prepare(`INSERT OR REPLACE INTO pair (${columns}) VALUES (?, ?, ?, ?, ?)`)
    this.#delete = prepare('DELETE FROM pair WHERE key = ?')
    this.#leases = prepare('SELECT id, ttl_ms FROM lease')
    this.#lease = prepare('SELECT id FROM lease WHERE id = ?')
    this.#addLease = prepare('INSERT INTO lease (id, ttl_ms) VALUES (?, ?)')
    this.#deleteLease = prepare('DELETE FROM lease WHERE id = ?')
    this.#keysOfLease = prepare('SELECT key FROM pair WHERE lease = ? ORDER BY key')
  }

  /** Runs `write` and commits; when it returns, everything is durable. Where anything throws, nothing is written. */
  commit<T>(write: () => T): T {
    this.#sqlite.exec('BEGIN IMMEDIATE')
    try {
      const result = write()
      this.#sqlite.exec('COMMIT')
      return result
    } catch (error) {
      // SQLite has rolled back by itself on some errors.
      if (this.#sqlite.isTransaction) this.#sqlite.exec('ROLLBACK')
      throw error
    }
  }

  revision(): Revision {
    return integer(this.#revision.get(), 'value') as Revision
  }

  setRevision(revision: Revision): void {
    this.#setRevision.run(revision)
  }

  get(key: string): KeyValue | null {
    const row = this.#one.get(Buffer.from(key))
    return row === undefined ? null : keyValue(row)
  }

  range({ start, end }: KeyRange): readonly KeyValue[] {
    const rows = end === null ? this.#rangeToEnd.all(start) : this.#range.all(start, end)
    return rows.map(keyValue)
  }

  put({ key, value, createRevision, modRevision, lease }: KeyValue): void {
    this.#put.run(Buffer.from(key), Buffer.from(value), createRevision, modRevision, lease)
  }

  delete(key: string): void {
    this.#delete.run(Buffer.from(key))
  }

  leases(): readonly StoredLease[] {
    return this.#leases
      .all()
      .map((row) => ({ lease: text(row, 'id') as LeaseId, ttlMs: integer(row, 'ttl_ms') }))
  }

  hasLease(lease: LeaseId): boolean {
    return this.#lease.get(lease) !== undefined
  }

  addLease({ lease, ttlMs }: StoredLease): void {
    this.#addLease.run(lease, ttlMs)
  }

  /** Its keys must be gone before. */
  deleteLease(lease: LeaseId): void {
    this.#deleteLease.run(lease)
  }

  keysOfLease(lease: LeaseId): readonly string[] {
    return this.#keysOfLease.all(lease).map((row) => utf8(row, 'key'))
  }

  close(): void {
    this.#sqlite.close()
  }
}

/** Step by step: where a file system takes no folders, as /proc, Node's recursive mkdir tries for ever. */
function createFolder(folder: string): void {
  if (existsSync(folder)) return
  const above = dirname(folder)
  createFolder(above)
  mkdirSync(folder, { mode: 0o700 })
  // SQLite makes the file's own entry durable, not those of the folders above it.
  const parent = openSync(above, 'r')
  fsyncSync(parent)
  closeSync(parent)
}

function openLocked(file: string): DatabaseSync {
  let sqlite: DatabaseSync | null = null
  try {
    // No waiting for another process's lock: it is held for as long as that process lives.
    sqlite = new DatabaseSync(file, { timeout: 0, enableForeignKeyConstraints: true })
    // Exclusive before WAL: then the index of the log is in this process's memory and nobody else can open the file.
    sqlite.exec('PRAGMA locking_mode = EXCLUSIVE')
    const journal = text(sqlite.prepare('PRAGMA journal_mode = WAL').get(), 'journal_mode')
    if (journal !== 'wal')
      throw new Error(`the file system does not allow a write-ahead log (got ${journal})`)
    // FULL syncs the log at each commit; WAL's default would lose the last ones in a power failure.
    sqlite.exec('PRAGMA synchronous = FULL')
    sqlite.exec('BEGIN IMMEDIATE')
    const version = integer(sqlite.prepare('PRAGMA user_version').get(), 'user_version')
    if (version > SCHEMA_VERSION)
      throw new Error(
        `it has schema version ${version}, and this gateway knows ${SCHEMA_VERSION}: use the gateway that wrote it, or a newer one`,
      )
    if (version === 0) sqlite.exec(SCHEMA)
    sqlite.exec('COMMIT')
    return sqlite
  } catch (error) {
    sqlite?.close()
    const reason = isBusy(error) ? 'another gateway has it open' : messageOf(error)
    throw new Error(`cannot open the store ${file}: ${reason}`, { cause: error })
  }
}

function isBusy(error: unknown): boolean {
  // The low byte is the primary code; the others tell its kinds apart.
  return error instanceof Error && 'errcode' in error && (Number(error.errcode) & 0xff) === SQLITE_BUSY
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

function keyValue(row: Row): KeyValue {
  return {
    key: utf8(row, 'key'),
    value: utf8(row, 'value'),
    createRevision: integer(row, 'create_revision') as Revision,
    modRevision: integer(row, 'mod_revision') as Revision,
    lease: row['lease'] === null ? null : (text(row, 'lease') as LeaseId),
  }
}

function integer(row: Row | undefined, column: string): number {
  const value = row?.[column]
  if (!Number.isSafeInteger(value)) throw new Error(`column ${column} holds no integer`)
  return Number(value)
}

function text(row: Row | undefined, column: string): string {
  const value = row?.[column]
  if (typeof value !== 'string') throw new Error(`column ${column} holds no text`)
  return value
}

function utf8(row: Row, column: string): string {
  const value = row[column]
  if (!(value instanceof Uint8Array)) throw new Error(`column ${column} holds no bytes`)
  return Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('utf8')
}
