// Certificates of a test's own, good for a day: signed by themselves, or by an authority that the test has made.

import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** PEM. */
export interface Pair {
  readonly cert: string
  readonly key: string
}

export interface Signed extends Pair {
  readonly certFile: string
  readonly keyFile: string
}

const KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '1']

/** `subject` as openssl writes it, such as `/CN=nova`; `names` as a subjectAltName, such as `DNS:nova`. */
export function selfSigned(subject: string, names: string | null = null): Pair {
  const folder = mkdtempSync(join(tmpdir(), 'fencegate-certificate-'))
  try {
    const [certFile, keyFile] = [join(folder, 'cert.pem'), join(folder, 'key.pem')]
    const more = names === null ? [] : ['-addext', `subjectAltName=${names}`]
    openssl(['req', '-x509', ...KEY, '-subj', subject, ...more, '-keyout', keyFile, '-out', certFile])
    return { cert: readFileSync(certFile, 'utf8'), key: readFileSync(keyFile, 'utf8') }
  } finally {
    rmSync(folder, { recursive: true })
  }
}

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

  /** As `selfSigned`, and by this authority. */
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

  /** As `sign`, and over since yesterday. */
  signExpired(subject: string): Signed {
    const base = join(this.#folder, `${++this.#count}`)
    const [certFile, keyFile, request] = [`${base}.pem`, `${base}.key`, `${base}.csr`]
    openssl([
      ...['req', '-new', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'],
      ...['-subj', subject, '-keyout', keyFile, '-out', request],
    ])
    const authority = ['-CA', this.file, '-CAkey', this.#key, '-CAcreateserial']
    openssl(['x509', '-req', '-in', request, ...authority, '-days', '-1', '-out', certFile])
    return { cert: readFileSync(certFile, 'utf8'), key: readFileSync(keyFile, 'utf8'), certFile, keyFile }
  }

  remove(): void {
    rmSync(this.#folder, { recursive: true })
  }
}

function openssl(args: readonly string[]): void {
  execFileSync('openssl', args, { stdio: 'ignore', timeout: 10_000 })
}
