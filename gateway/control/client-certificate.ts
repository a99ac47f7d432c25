// The certificate that a client of the control API shows, and whom it names. Only one that an authority of ours has signed
// counts; which names it may have is for that authority to see to.

import type { Socket } from 'node:net'
import { TLSSocket } from 'node:tls'

export interface ClientCertificate {
  /** Signed by one of `clientCa`, and valid now. */
  readonly trusted: boolean
  /** `name`: its SHA-256 fingerprint, its subject's common name, or a DNS name of its own, spelled out. */
  isNamed(name: string): boolean
}

const FINGERPRINT = /^([0-9a-f]{2}:){31}[0-9a-f]{2}$/i

/** Null where the client shows none. */
export function clientCertificateOf(socket: Socket): ClientCertificate | null {
  if (!(socket instanceof TLSSocket)) return null
  const certificate = socket.getPeerX509Certificate()
  if (certificate === undefined) return null
  return {
    trusted: socket.authorized,
    isNamed(name) {
      if (FINGERPRINT.test(name)) return certificate.fingerprint256 === name.toUpperCase()
      const { CN } = certificate.toLegacyObject().subject
      // A wildcard names nobody, and of several common names none is the name.
      return CN === name || certificate.checkHost(name, { subject: 'never', wildcards: false }) !== undefined
    },
  }
}
