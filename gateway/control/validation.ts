// Judges what a request says by its schema, and says what is wrong with it in words.

import type { FastifySchemaCompiler } from 'fastify'
import type { z } from 'zod'
import { GatewayError } from '../core/errors.ts'
import { schemaWords } from '../core/schema-words.ts'

const PARTS: Readonly<Record<string, string>> = { querystring: 'query' }

export const validatorCompiler: FastifySchemaCompiler<z.ZodType> = ({ schema, httpPart = 'request' }) => {
  const part = PARTS[httpPart] ?? httpPart
  return (value: unknown) => {
    // Nothing sent and nothing asked for are the same thing to the schemas of bodies.
    const parsed = schema.safeParse(value, { error: schemaWords })
    if (parsed.success) return { value: parsed.data }
    const isAbsent = value === undefined || value === null
    const faults = parsed.error.issues.map(({ path, message }) => ({
      at: [part, ...path.map(String)].join('/'),
      message: isAbsent && path.length === 0 ? 'is missing; send a JSON object' : message,
    }))
    const detail = faults.map(({ at, message }) => `${at}: ${message}`).join('; ')
    return { error: new GatewayError('bad-request', detail, { faults }) }
  }
}
