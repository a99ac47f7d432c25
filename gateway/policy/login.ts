// What a call that opens a session at the backend says of who opens it: compiled from a rule's `login:`.

import { createHash, getHashes } from 'node:crypto'
import type { Login, LoginAnswer } from '../spi/policy.ts'
import type { PackFault } from './fault.ts'
import { compileLoginAnswer } from './login-answer.ts'
import type { CallReading } from './reading.ts'
import type { RuleSource } from './schema.ts'
import type { Slots } from './template.ts'

export type CompiledLogin = (
  | { readonly from: 'capture'; readonly slot: number }
  /** `digestSlot`: -1 where the backend goes by the field itself. */
  | { readonly from: 'basic'; readonly digestSlot: number }
  /** The call has no name in it. */
  | { readonly from: 'nothing'; readonly strict: boolean }
) & { readonly answer: LoginAnswer | null }

export interface LoginTerms {
  readonly source: RuleSource
  readonly path: readonly PropertyKey[]
  readonly faults: PackFault[]
  readonly slots: ReadonlyMap<string, number>
}

export function compileLogin({ source, path, faults, slots }: LoginTerms): CompiledLogin | null {
  const { login, effect } = source
  if (source.logout === true && effect !== 'session')
    faults.push({
      path: [...path, 'logout'],
      message: 'only a rule with the effect session has logout',
      atKey: true,
    })
  if (login === undefined) return null
  const fault = (message: string): null => {
    faults.push({ path: [...path, 'login'], message, atKey: true })
    return null
  }
  if (effect !== 'session') return fault('only a rule with the effect session has login')
  if (login.basic && login.name !== undefined)
    return fault('the name is in a capture or in the Authorization field, not in both')
  const answer = compileLoginAnswer(login, [...path, 'login'], faults)
  if (login.digest !== undefined && (!login.basic || !slots.has(login.digest)))
    return fault(`digest is a capture of a login with basic, and nothing captures {${login.digest}}`)
  if (login.basic) return { from: 'basic', digestSlot: slots.get(login.digest ?? '') ?? -1, answer }
  if (login.name === undefined) return { from: 'nothing', strict: login.strict, answer }
  const slot = slots.get(login.name)
  return slot === undefined ? fault(`nothing captures {${login.name}}`) : { from: 'capture', slot, answer }
}

/** A name that the call should say and does not is as good as a stranger's. */
export function loginOf(login: CompiledLogin, slots: Slots, call: CallReading): Login {
  const named = nameOf(login, slots, call)
  return login.answer === null ? named : { ...named, answer: login.answer }
}

function nameOf(login: CompiledLogin, slots: Slots, call: CallReading): Login {
  switch (login.from) {
    case 'nothing':
      return { name: null, strict: login.strict }
    case 'basic': {
      const pair = basicPair(call.head.header('authorization'))
      const digest = login.digestSlot === -1 ? null : slots[login.digestSlot]
      const name = pair === null || (digest !== null && !isDigest(digest, pair)) ? null : pair.name
      return { name, strict: name === null }
    }
    case 'capture': {
      const value = slots[login.slot]
      const name = typeof value === 'string' && value.trim() !== '' ? value : null
      return { name, strict: name === null }
    }
  }
}

function isDigest(
  written: Slots[number],
  { name, password }: NonNullable<ReturnType<typeof basicPair>>,
): boolean {
  return ['sha256', 'md5'].some(
    (algorithm) =>
      DIGESTS.includes(algorithm) &&
      written === createHash(algorithm).update(`${name}_${password}`).digest('hex'),
  )
}

/** Some systems are built without the older ones. */
const DIGESTS = getHashes()

/** The user of `Authorization: Basic …`; null where there is none, or none that can be read. */
export function basicName(field: string | undefined): string | null {
  const pair = basicPair(field)
  return pair === null ? null : pair.name
}

/** What stands behind the scheme in Authorization; of Basic the password. Null where there is none. */
export function credentialsOf(field: string | undefined, scheme: string): string | null {
  if (scheme.toLowerCase() === 'basic') return basicPair(field)?.password ?? null
  const [written = '', ...rest] = (field ?? '').trim().split(/ +/)
  const [credentials] = rest
  if (rest.length !== 1 || credentials === undefined || written.toLowerCase() !== scheme.toLowerCase())
    return null
  return credentials
}

function basicPair(field: string | undefined): { readonly name: string; readonly password: string } | null {
  const encoded = /^basic +(?<credentials>[A-Za-z0-9+/_-]+={0,2}) *$/i.exec(field ?? '')?.groups?.[
    'credentials'
  ]
  if (encoded === undefined) return null
  const credentials = Buffer.from(encoded, 'base64').toString('utf8')
  const colon = credentials.indexOf(':')
  return colon < 1 ? null : { name: credentials.slice(0, colon), password: credentials.slice(colon + 1) }
}
