// A certificate authority of a test's own: signs certificates that are good for a day.

import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export interface Signed {
  readonly cert: string
  readonly key: string
  readonly certFile: string
  readonly keyFile: string
}

const KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '1']

export class Authority {
  readonly #folder = mkdtempSync(join(tmpdir(), 'fencegate-authority-'))
  readonly file = join(this.#folder, 'ca.pem')
  readonly #key = join(this.#folder, 'ca.key')
  #count = 0

  constructor() {
    openssl(['req', '-x509', ...KEY, '-subj', '/CN=authority', '-keyout', this.#key, '-out', this.file])
  }

  get pem(): string {
    return readFileSync(this.file, 'utf8')
  }

  /** `subject` as openssl writes it, such as `/CN=nova`; `names` as a subjectAltName, such as `DNS:nova`. */
  sign(subject: string, names: string | null = null): Signed {
    const base = join(this.#folder, `${++this.#count}`)
    const [certFile, keyFile] = [`${base}.pem`, `${base}.key`]
    const more = ['basicConstraints=CA:FALSE', ...(names === null ? [] : [`subjectAltName=${names}`])]
    openssl([
      ...['req', '-x509', ...KEY, '-subj', subject, '-CA', this.file, '-CAkey', this.#key],
      ...more.flatMap((extension) => ['-addext', extension]),
      ...['-keyout', keyFile, '-out', certFile],
    ])
    return { cert: readFileSync(certFile, 'utf8'), key: readFileSync(keyFile, 'utf8'), certFile, keyFile }
  }

  remove(): void {
    rmSync(this.#folder, { recursive: true })
  }
}

function openssl(args: readonly string[]): void {
  execFileSync('openssl', args, { stdio: 'ignore', timeout: 10_000 })
}
