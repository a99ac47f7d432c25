import { describe, expect, it } from 'vitest'
import { compilePolicy, formatPolicyFault } from '../../../gateway/policy/index.ts'
import { callHead } from '../../../gateway/spi/policy.ts'
import { packOf, policyOf, SMALL } from './small-pack.ts'

const RULES = `
  - { id: form, method: POST, path: /login, json: { capture: { user: /user } }, effect: session, login: { name: user } }
  - { id: basic, method: POST, path: /sessions, effect: session, login: { basic: true } }
  - { id: ticket, method: POST, path: /tickets, effect: session, login: { strict: true } }
  - { id: renewed, method: PUT, path: /sessions, effect: session, login: {} }
  - { id: logout, method: DELETE, path: /sessions, effect: session }`

const policy = policyOf(RULES)

function login(method: string, target: string, authorization?: string, body?: unknown): unknown {
  const headers = {
    ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    ...(authorization === undefined ? {} : { authorization }),
  }
  const found = policy.classify(
    callHead(method, target, headers),
    body === undefined ? null : Buffer.from(JSON.stringify(body)),
  )
  return found.kind === 'refused' ? found.refusal.code : found.login
}

const basic = (text: string) => `Basic ${Buffer.from(text).toString('base64')}`

describe('a rule for logins', () => {
  it('says whose session the call opens, by a capture or by the Authorization field', () => {
    expect(login('POST', '/login', undefined, { user: 'nova-3' })).toEqual({ name: 'nova-3', strict: false })
    expect(login('POST', '/sessions', basic('EXAMPLE\\nova-3:a:b'))).toEqual({
      name: 'EXAMPLE\\nova-3',
      strict: false,
    })
    expect(login('POST', '/sessions', basic('nova-3:').replace('Basic', 'bASIC'))).toMatchObject({
      name: 'nova-3',
    })
  })

  it('takes a name that should be there and cannot be read for a stranger’s', () => {
    const stranger = { name: null, strict: true }
    for (const body of [{}, { user: '' }, { user: ' ' }, { user: null }])
      expect(login('POST', '/login', undefined, body), JSON.stringify(body)).toEqual(stranger)
    for (const field of [undefined, 'Bearer abc', 'Basic', 'Basic !!', basic('nobody'), basic(':secret')])
      expect(login('POST', '/sessions', field), field).toEqual(stranger)
    expect(login('POST', '/tickets')).toEqual(stranger)
  })

  it('tells calls that open a session from those that do not', () => {
    expect(login('PUT', '/sessions')).toEqual({ name: null, strict: false })
    expect(login('DELETE', '/sessions')).toBeUndefined()
  })

  it('is a fault where nothing captures the name, where it stands twice, or where the rule opens no session', () => {
    const pack = packOf(`${SMALL}
  - { id: a, path: /a, effect: session, login: { name: user } }
  - { id: b, path: "/b/{user}", effect: session, login: { name: user, basic: true } }
  - { id: c, path: "/c/{user}", effect: read, login: { name: user } }`)
    const compiled = compilePolicy({ pack })
    const faults = compiled.ok ? [] : compiled.faults.map(formatPolicyFault)
    expect(faults.join('\n')).toContain('nothing captures {user}')
    expect(faults.join('\n')).toContain('not in both')
    expect(faults.join('\n')).toContain('only a rule with the effect session')
  })
})
