import { expect, test } from 'vitest'
import { createLog } from '../../../gateway/telemetry/index.ts'

function capture() {
  const lines: string[] = []
  const log = createLog({ level: 'info', destination: { write: (line) => void lines.push(line) } })
  return { log, lines }
}

test('a line is one JSON object with level, time, message and fields', () => {
  const { log, lines } = capture()
  log.child({ room: 'proxy' }).warn({ backend: 'cinder' }, 'slow')
  expect(lines).toHaveLength(1)
  const line: unknown = JSON.parse(lines[0] ?? '')
  expect(line).toMatchObject({ level: 'warn', room: 'proxy', backend: 'cinder', msg: 'slow' })
  expect(line).toHaveProperty('time', expect.stringMatching(/^\d{4}-\d\d-\d\dT.*Z$/))
})

test('what looks like a secret is censored at the top and two levels down', () => {
  const { log, lines } = capture()
  const secrets = {
    password: 'swordfish',
    token: 'swordfish',
    signed: 'swordfish',
    authorization: 'swordfish',
  }
  log.info({ ...secrets, headers: { ...secrets, 'x-auth-token': 'swordfish', inner: secrets } }, 'x')
  expect(lines[0]).not.toContain('swordfish')
  expect(lines[0]).toContain('[secret]')
})

test('an error is written with its code and its causes, at most four deep', () => {
  const { log, lines } = capture()
  let error: Error = Object.assign(new Error('root'), { code: 'ECONNREFUSED' })
  for (let depth = 0; depth < 6; depth++) error = new Error(`wrapped ${depth}`, { cause: error })
  log.error({ error }, 'failed')
  const line: { error: { message: string; causes: unknown[] } } = JSON.parse(lines[0] ?? '')
  expect(line.error.message).toBe('wrapped 5')
  expect(line.error.causes).toHaveLength(3)
})

test('the level can be changed while the gateway runs', () => {
  const { log, lines } = capture()
  log.debug({}, 'not yet')
  log.setLevel('debug')
  log.debug({}, 'now')
  log.setLevel('silent')
  log.error({}, 'never')
  expect(lines.map((line) => JSON.parse(line).msg)).toEqual(['now'])
})
