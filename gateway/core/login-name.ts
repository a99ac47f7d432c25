// Whether two spellings of a login name can be the same account's: `DOMAIN\user`, `user@domain`, or `user` alone. Pure.

export interface LoginName {
  /** In lower case. */
  readonly user: string
  /** Null where the name says none: then it may be any. */
  readonly domain: string | null
}

export function readLoginName(text: string): LoginName {
  const name = text.normalize('NFC').trim().toLowerCase()
  const backslash = name.indexOf('\\')
  if (backslash >= 0) return { domain: name.slice(0, backslash) || null, user: name.slice(backslash + 1) }
  const at = name.lastIndexOf('@')
  return at > 0
    ? { user: name.slice(0, at), domain: name.slice(at + 1) || null }
    : { user: name, domain: null }
}

/** Where a domain is missing, or only its short form is given, they are taken for the same. */
export function mayBeSameLogin(one: LoginName, other: LoginName): boolean {
  if (one.user !== other.user) return false
  if (one.domain === null || other.domain === null || one.domain === other.domain) return true
  return isShortFor(one.domain, other.domain) || isShortFor(other.domain, one.domain)
}

/** `EXAMPLE` for `example.com`. */
function isShortFor(short: string, domain: string): boolean {
  return !short.includes('.') && domain.startsWith(`${short}.`)
}
