// How the commands speak HTTP: with the runtime's own fetch, or, where a certificate is asked for or shown, with one that knows it.

import type { ClientTls, FetchLike } from './dependencies.ts'

export function fetchWith(tls: ClientTls): FetchLike {
  if (Object.keys(tls).length === 0) return fetch
  return async (url, init) => {
    // Most commands do without: they need not wait until it is loaded.
    const undici = await import('undici')
    return await undici.fetch(url, { ...init, dispatcher: new undici.Agent({ connect: { ...tls } }) })
  }
}
