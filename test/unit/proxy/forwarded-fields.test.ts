import { describe, expect, test } from 'vitest'
import { ForwardedFields } from '../../../gateway/proxy/forwarded-fields.ts'

const both = ['x-forwarded', 'forwarded'] as const

function fields(trust: string[], address: string, came: Record<string, string> = {}, isTls = true) {
  const list = new ForwardedFields({ send: both, trust }).fields({ address, isTls }, (name) => came[name])
  return Object.fromEntries(Array.from({ length: list.length / 2 }, (_, i) => [list[2 * i], list[2 * i + 1]]))
}

describe('what a backend is told of a client', () => {
  test('is who he is, how he came, and whom he asked for', () => {
    expect(fields([], '10.0.0.9', { host: 'cinder.example:8776' })).toEqual({
      'X-Forwarded-For': '10.0.0.9',
      'X-Forwarded-Proto': 'https',
      'X-Forwarded-Host': 'cinder.example:8776',
      Forwarded: 'for=10.0.0.9;proto=https;host="cinder.example:8776"',
    })
    expect(fields([], '::1', {}, false)).toEqual({
      'X-Forwarded-For': '::1',
      'X-Forwarded-Proto': 'http',
      Forwarded: 'for="[::1]";proto=http',
    })
  })

  const said = {
    host: 'inner',
    'x-forwarded-for': '1.2.3.4',
    'x-forwarded-proto': 'https',
    'x-forwarded-host': 'outer',
    'x-forwarded-port': '443',
    forwarded: 'for=1.2.3.4',
  }

  test('is not what he says of himself', () => {
    expect(fields(['10.0.0.0/8'], '192.168.0.1', said, false)).toEqual({
      'X-Forwarded-For': '192.168.0.1',
      'X-Forwarded-Proto': 'http',
      'X-Forwarded-Host': 'inner',
      Forwarded: 'for=192.168.0.1;proto=http;host="inner"',
    })
  })

  test.each(['10.1.2.3', '::ffff:10.1.2.3', 'fd00::7'])(
    'is also what a trusted proxy says, here %s',
    (address) => {
      expect(fields(['10.0.0.0/8', 'fd00::/8'], address, said, false)).toMatchObject({
        'X-Forwarded-For': `1.2.3.4, ${address.replace('::ffff:', '')}`,
        'X-Forwarded-Proto': 'https',
        'X-Forwarded-Host': 'outer',
        'X-Forwarded-Port': '443',
        Forwarded: expect.stringMatching(/^for=1\.2\.3\.4, for=/),
      })
    },
  )

  test('cannot be broken out of by a Host', () => {
    expect(fields([], '1.1.1.1', { host: 'a";for=evil' })['Forwarded']).toBe(
      'for=1.1.1.1;proto=https;host="a\\";for=evil"',
    )
  })

  test('replaces only the fields of the kinds that are sent', () => {
    expect(new ForwardedFields({ send: ['forwarded'], trust: [] }).replaced).toEqual(['forwarded'])
  })
})
