// The example calls of a pack, held against what the pack does with them: a pack carries its own tests.

import {
  type CallHead,
  type Classification,
  callHead,
  type JobRule,
  type Login,
  type Policy,
} from '../spi/policy.ts'
import type { ExampleSource } from './schema.ts'
import { SOAP_ENVELOPE, ZAPI_NAMESPACE } from './xml-envelope.ts'

export interface ExampleFailure {
  /** Of the example in the pack. */
  readonly index: number
  readonly message: string
}

/** The call that an example describes, as the data plane would hand it over. */
export function exampleCall(example: ExampleSource): {
  readonly head: CallHead
  readonly body: Buffer | null
} {
  const [method = '', target = ''] = example.call.split(' ')
  const written = Object.entries(example.headers ?? {}).map(([name, value]) => [name.toLowerCase(), value])
  const isJson = example.body !== undefined && typeof example.body !== 'string'
  const headers = {
    ...(isJson ? { 'content-type': 'application/json' } : {}),
    ...Object.fromEntries(written),
  }
  return { head: callHead(method, target, headers), body: bodyOf(example) }
}

/** What the policy does otherwise than its examples say, one line each. */
export function failedExamples(
  policy: Policy,
  examples: readonly ExampleSource[],
): readonly ExampleFailure[] {
  return examples.flatMap((example, index) =>
    differences(policy, example).map((message) => ({ index, message: `${example.call}: ${message}` })),
  )
}

function differences(policy: Policy, example: ExampleSource): readonly string[] {
  const { head, body } = exampleCall(example)
  const needed = policy.bodyBytesNeeded(head)
  const found = policy.classify(head, needed > 0 ? body : null)
  const { expect, answer } = example
  const wrong: string[] = []
  const compare = (what: string, wanted: string | undefined, got: string): void => {
    if (wanted !== undefined && wanted !== got) wrong.push(`${what} should be ${wanted} but is ${got}`)
  }
  compare('inspects', expect.inspects?.toString(), String(needed > 0))
  if (found.kind === 'refused') {
    if (expect.refused === undefined) wrong.push(`it is refused (${found.refusal.detail})`)
    else compare('the refusal', expect.refused, found.refusal.code)
    return wrong
  }
  if (expect.refused !== undefined)
    return [...wrong, `it should be refused but is ${found.effect} by ${found.rule}`]
  compare('the rule', expect.rule, found.rule)
  compare('the effect', expect.effect, found.effect)
  compare('the target', expect.target, found.target)
  if (expect.locks !== undefined)
    compare('the locks', expect.locks.map(lockText).join(' + '), found.locks.map(lockText).join(' + '))
  compare('the login', expect.login, loginText(found.login))
  if (answer !== undefined) compare('the job', answer.job, jobText(found, answer))
  return wrong
}

function lockText(lock: string | { readonly name: string; readonly mode: string }): string {
  return typeof lock === 'string' ? lock : lock.mode === 'shared' ? `${lock.name} (shared)` : lock.name
}

function loginText(login: Login | undefined): string {
  if (login === undefined) return 'none'
  return login.name ?? (login.strict ? 'strict' : 'unnamed')
}

function jobText(
  found: Extract<Classification, { kind: 'call' }>,
  answer: NonNullable<ExampleSource['answer']>,
): string {
  if (found.job === null || !found.job.appliesTo(answer.status)) return 'none'
  const named: ReturnType<JobRule['read']> = found.job.read(answer.status, bodyOf(answer) ?? Buffer.alloc(0))
  if (named.kind !== 'job') return named.kind
  return named.probe.kind === 'http' ? named.probe.target : named.probe.task
}

function bodyOf(source: Pick<ExampleSource, 'body' | 'soap' | 'zapi'>): Buffer | null {
  if (source.soap !== undefined)
    return Buffer.from(
      `<?xml version="1.0" encoding="UTF-8"?><e:Envelope xmlns:e="${SOAP_ENVELOPE}"><e:Body>${source.soap}</e:Body></e:Envelope>`,
    )
  if (source.zapi !== undefined)
    return Buffer.from(
      `<?xml version="1.0" encoding="UTF-8"?><netapp xmlns="${ZAPI_NAMESPACE}" version="1.150" vfiler="vs1">${source.zapi}</netapp>`,
    )
  if (source.body === undefined) return null
  return Buffer.from(typeof source.body === 'string' ? source.body : JSON.stringify(source.body))
}
