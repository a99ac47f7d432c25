// What etcd makes of the certificate that this gateway shows, in words: TLS itself says an alert's number and no more.

import { X509Certificate } from 'node:crypto'
import type { EtcdTls } from './connection.ts'

/** Of the alerts by which a server refuses a client's certificate. */
const REFUSED = /alert (bad certificate|unsupported certificate|certificate \w+|unknown ca|access denied)/i
const PEM = /-----BEGIN CERTIFICATE-----/

/** Null where it is about something else. */
export function refusedCertificate(said: string, tls: EtcdTls | undefined, nowMs: number): string | null {
  const [, alert] = REFUSED.exec(said) ?? []
  if (alert === undefined) return null
  const written = tls?.cert?.toString()
  if (written === undefined || !PEM.test(written))
    return 'etcd asks for a client certificate: store.etcd.tls has none (cert and key)'
  const { subject, issuer, validFrom, validTo } = new X509Certificate(written)
  const name = inLine(subject)
  if (Date.parse(validTo) < nowMs)
    return `the certificate of store.etcd.tls (${name}) was valid until ${validTo}: renew it`
  if (Date.parse(validFrom) > nowMs)
    return `the certificate of store.etcd.tls (${name}) is valid from ${validFrom} on only: see to the clocks`
  return `etcd refuses the certificate of store.etcd.tls (${name}, signed by ${inLine(issuer)}): ${alert}; its authority has to be in etcd's --trusted-ca-file`
}

/** A name has its parts in lines. */
function inLine(name: string | undefined): string {
  return name === undefined || name === '' ? 'no name' : name.split('\n').join(', ')
}
