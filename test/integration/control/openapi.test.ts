import { expect, test } from 'vitest'
import { start } from './start.ts'

const PUBLISHED = [
  'POST /v1/sessions',
  'POST /v1/sessions/{id}/keepalive',
  'GET /v1/sessions',
  'GET /v1/sessions/{id}',
  'GET /v1/sessions/{id}/fence',
  'DELETE /v1/sessions/{id}',
  'POST /v1/locks/{name}',
  'PUT /v1/locks/{name}/mode',
  'DELETE /v1/locks/{name}',
  'GET /v1/locks',
  'GET /v1/locks/{name}',
  'GET /v1/backends',
  'GET /v1/fencers',
  'GET /v1/fences',
  'GET /v1/fences/{id}',
  'POST /v1/locks/{name}/vouch',
  'POST /v1/fences/{id}/retry',
  'POST /v1/fences/{id}/callback/{fencer}',
  'POST /v1/fences/{id}/confirm',
  'POST /v1/fences/{id}/unfence',
  'POST /v1/sessions/{id}/bindings',
  'POST /v1/sessions/{id}/fence',
  'POST /v1/check',
  'GET /v1/events',
  'GET /livez',
  'GET /readyz',
  'GET /metrics',
]

interface Operation {
  readonly summary?: string
  readonly parameters?: readonly { readonly name: string; readonly in: string; readonly schema: unknown }[]
  readonly requestBody?: { readonly content: Readonly<Record<string, { readonly schema: object }>> }
  readonly responses: Readonly<Record<string, { readonly description: string; readonly content?: object }>>
}

test('the description is OpenAPI 3.1 and holds exactly what is published', async () => {
  const { call } = await start()
  const { body, status, type } = await call('GET', '/openapi.json')
  expect([status, type]).toEqual([200, expect.stringContaining('application/json')])
  expect(body.openapi).toMatch(/^3\.1\./)
  expect(body.info).toMatchObject({ title: expect.any(String), version: '0.0.0' })
  const paths: Record<string, Record<string, Operation>> = body.paths
  const found = Object.entries(paths).flatMap(([path, item]) =>
    Object.keys(item).map((method) => `${method.toUpperCase()} ${path}`),
  )
  expect(found.toSorted()).toEqual(PUBLISHED.toSorted())

  for (const [path, item] of Object.entries(paths))
    for (const [method, operation] of Object.entries(item)) {
      const where = `${method} ${path}`
      expect(operation.summary, where).toBeTypeOf('string')
      expect(Object.keys(operation.responses).length, where).toBeGreaterThan(1)
      for (const response of Object.values(operation.responses))
        expect(response.description, where).toBeTypeOf('string')
      expect(operation.responses['default']?.content, where).toHaveProperty('application/problem+json')
      const inPath = [...path.matchAll(/\{(\w+)\}/g)].map((match) => match[1])
      const declared = (operation.parameters ?? []).filter((parameter) => parameter.in === 'path')
      expect(
        declared.map(({ name }) => name),
        where,
      ).toEqual(inPath)
    }
})

test('every reference in it leads somewhere', async () => {
  const { call } = await start()
  const { body } = await call('GET', '/openapi.json')
  const references = [...JSON.stringify(body).matchAll(/"\$ref":"([^"]+)"/g)].map((match) => match[1] ?? '')
  for (const reference of references) {
    let target: unknown = body
    for (const step of reference.replace(/^#\//, '').split('/'))
      target = typeof target === 'object' && target !== null ? Reflect.get(target, step) : undefined
    expect(target, reference).toBeDefined()
  }
})

test('bodies are described by the schemas that validate them', async () => {
  const { call } = await start()
  const { body } = await call('GET', '/openapi.json')
  const schema = body.paths['/v1/sessions'].post.requestBody.content['application/json'].schema
  expect(schema).toMatchObject({ required: ['ttl', 'holder'], additionalProperties: false })
  expect(Object.keys(schema.properties)).toEqual(['ttl', 'holder', 'fenceInfo', 'plan'])
})

test('with credentials it says how to present them', async () => {
  const { call } = await start({
    credentials: [{ token: 'operator-1234567890', role: 'operator', holder: null }],
  })
  const { body } = await call('GET', '/openapi.json')
  expect(body.security).toEqual([{ bearer: [] }, { certificate: [] }])
  expect(body.components.securitySchemes.bearer).toEqual({ type: 'http', scheme: 'bearer' })
  expect(body.components.securitySchemes.certificate).toEqual({ type: 'mutualTLS' })
})
