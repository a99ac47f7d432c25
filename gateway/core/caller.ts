// How a caller who sends no token can be known, and the one spelling in which each such mark of his is compared. Pure.

/**
 * `header`: names the session itself (Fencing-Session). `session`: a session at the backend, by whatever carries it there.
 * The others name an account, a machine or a way in, and whoever uses it: they cannot tell one process from the next.
 */
export const CALLER_WAYS = ['header', 'listener', 'login', 'session', 'certificate', 'address'] as const
export type CallerWay = (typeof CALLER_WAYS)[number]

/** What a session can be bound to; `header` names it already. */
export type BindingWay = Exclude<CallerWay, 'header'>
export const BINDING_WAYS: readonly BindingWay[] = ['listener', 'login', 'session', 'certificate', 'address']

/** One mark on a call. */
export interface CallerClaim {
  readonly by: CallerWay
  readonly value: string
}

const VALUE_CHARACTERS_MAX = 4096

/** The spelling in which a value is bound and looked for; null where it cannot be meant. */
export function callerValue(by: CallerWay, written: string): string | null {
  if (written === '' || written.length > VALUE_CHARACTERS_MAX) return null
  switch (by) {
    case 'header':
    case 'listener':
    case 'login':
      return written
    case 'session':
      return sessionValue(written)
    case 'certificate': {
      const digits = written.replaceAll(':', '').toLowerCase()
      return /^[0-9a-f]{64}$/.test(digits) ? digits : null
    }
    case 'address':
      return addressValue(written)
  }
}

/** Cookies are sent with quotes and without. */
function sessionValue(written: string): string | null {
  const bare = written.length >= 2 && written.startsWith('"') && written.endsWith('"')
  const value = bare ? written.slice(1, -1) : written
  return value === '' ? null : value
}

function addressValue(written: string): string | null {
  const lower = written.toLowerCase()
  const address = lower.startsWith('::ffff:') && lower.includes('.') ? lower.slice(7) : lower
  if (/^\d{1,3}(?:\.\d{1,3}){3}$/.test(address))
    return address.split('.').every((part) => String(Number(part)) === part && Number(part) < 256)
      ? address
      : null
  if (!address.includes(':')) return null
  const url = `http://[${address}]/`
  return URL.canParse(url) ? new URL(url).hostname.slice(1, -1) : null
}
