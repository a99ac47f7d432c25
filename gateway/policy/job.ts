// Which answers name a job, and how to ask whether it is over. What should name one and cannot be read is never
// taken for "none": the call then counts as unknown.

import type { JobRule } from '../spi/policy.ts'
import type { PackFault } from './fault.ts'
import { compileRequest, type RequestFiller } from './job-request.ts'
import { readJson } from './json-reader.ts'
import { compilePattern, type Pattern } from './pattern.ts'
import { type CallReading, pointerSteps, valuesAt } from './reading.ts'
import type { JobSource } from './schema.ts'
import { SoapPaths } from './soap-paths.ts'
import { readSoap } from './soap-reader.ts'
import { canonicalTarget } from './target.ts'
import {
  capturesOf,
  compileTemplate,
  fillTemplate,
  type Names,
  type Slots,
  type Template,
  targetPart,
} from './template.ts'
import { zapiText } from './zapi-answer.ts'

/** Answers of calls that start jobs are short; a longer one is unreadable. */
export const JOB_ANSWER_BYTES_MAX = 65_536

type JobReading = ReturnType<JobRule['read']>

export interface CompiledJob {
  readonly name: string
  /** The job rule of one call, which knows the call's captures, and where it was sent. */
  bind(slots: Slots, call: CallReading): JobRule
}

export interface JobTerms {
  readonly name: string
  readonly source: JobSource
  /** What the rule's captures and the policy's variables stand for. */
  readonly names: Names
  /** A slot that no capture of the rule has; the answer's id goes there. */
  readonly idSlot: number
  /** Of the whole pack: what its rules want to see of a SOAP message. */
  readonly soapPaths: SoapPaths
  readonly path: readonly PropertyKey[]
}

export function compileJob(terms: JobTerms, faults: PackFault[]): CompiledJob | null {
  switch (terms.source.kind) {
    case 'http':
      return compileHttpJob(terms, terms.source, faults)
    case 'vsphere-task':
      return compileTask(terms, terms.source, faults)
    case 'untracked':
      return untracked(terms.name, terms.source.statuses)
  }
}

type HttpJob = Extract<JobSource, { kind: 'http' }>

/** Finds the job's id in an answer. */
type IdFinder = (body: Buffer) => IdReading

function compileHttpJob(terms: JobTerms, source: HttpJob, faults: PackFault[]): CompiledJob | null {
  const findId = source.id === undefined ? null : idFinder(source.id)
  if (typeof findId === 'string') {
    faults.push({ path: [...terms.path, 'id'], message: findId })
    return null
  }
  const { pointer } = source
  if (pointer !== undefined && pointerSteps(pointer) === null && !SoapPaths.isPath(pointer)) {
    faults.push({ path: [...terms.path, 'pointer'], message: 'not a JSON pointer such as /volume/status' })
    return null
  }
  if (source.terminal !== undefined && source.running.length > 0) {
    faults.push({ path: [...terms.path, 'terminal'], message: 'terminal and running exclude one another' })
    return null
  }
  const names: Names = (name) => (name === 'id' && findId !== null ? terms.idSlot : terms.names(name))
  const probes: Template[] = []
  for (const written of probeForms(source.probe)) {
    const probe = compileTemplate(written, names)
    if (typeof probe === 'string') {
      faults.push({ path: [...terms.path, 'probe'], message: `the job ${terms.name}: ${probe}` })
      return null
    }
    probes.push(probe)
  }
  const before = faults.length
  const request = compileRequest({ source, names, path: terms.path, faults })
  if (faults.length > before) return null
  const statuses = new Set(source.statuses)
  const probeOf = compileProbe(terms, source, probes, request)
  return {
    name: terms.name,
    bind: (slots, { target: { prefix } }) => ({
      appliesTo: (status) => statuses.has(status),
      bodyBytesMax: findId === null ? 0 : JOB_ANSWER_BYTES_MAX,
      read: (status, body) => {
        if (!statuses.has(status)) return { kind: 'none' }
        const filled = [...slots]
        if (findId !== null) {
          const id =
            body.length > JOB_ANSWER_BYTES_MAX
              ? { kind: 'unreadable' as const, reason: 'the answer is too long' }
              : findId(body)
          if (id.kind === 'absent' && source.optional) return { kind: 'none' }
          if (id.kind !== 'found')
            return unreadable(id.kind === 'absent' ? 'the answer names no id' : id.reason)
          filled[terms.idSlot] = id.id
        }
        return probeOf(filled, prefix)
      },
    }),
  }
}

/** The probe with its optional segment, and without it. */
function probeForms(written: string): readonly string[] {
  const optional = /\{([a-z][a-z0-9_]*)\?\}\//.exec(written)
  return optional === null
    ? [written]
    : [written.replace(optional[0], `{${optional[1] ?? ''}}/`), written.replace(optional[0], '')]
}

function compileProbe(
  { name, idSlot }: JobTerms,
  source: HttpJob,
  probes: readonly Template[],
  request: RequestFiller | null,
): (slots: Slots, prefix: string) => JobReading {
  const answers = source.pointer === undefined ? {} : answersOf(source.pointer)
  const common = {
    kind: 'http',
    terminalStatuses: source.terminal_statuses,
    pointer: source.pointer ?? null,
    runningValues: source.running,
    ...(source.terminal === undefined ? {} : { terminalValues: source.terminal }),
    nullIsOver: source.null_is_over,
    ...answers,
  } as const
  return (slots, prefix) => {
    const probe =
      probes.find((form) => capturesOf(form).every((used) => slots[used.slot] !== undefined)) ?? probes[0]
    if (probe === undefined) return unreadable('the job has no probe')
    const filled = fillTemplate(probe, slots, targetPart)
    if (!filled.ok) return unreadable(filled.reason)
    const target = canonicalTarget(prefix + filled.text)
    if (!target.ok) return unreadable(`the job cannot be asked about: ${target.reason}`)
    const body = request?.(slots)
    if (body?.ok === false) return unreadable(body.reason)
    const last = capturesOf(probe).at(-1)
    const named = slots[idSlot] ?? slots[last?.slot ?? idSlot]
    return {
      kind: 'job',
      id: `${name}:${typeof named === 'string' ? named : target.path}`,
      probe: {
        ...common,
        target: target.target,
        ...(body === undefined ? {} : { request: { type: body.type, body: body.body } }),
      },
    }
  }
}

/** How the state is found in an answer that is no JSON. */
function answersOf(pointer: string): { readonly stateOf?: (body: string) => string | undefined } {
  if (pointer === '' || pointer.startsWith('/')) return {}
  const paths = new SoapPaths()
  const path = paths.want(pointer)
  return {
    stateOf: (body) => {
      const state = zapiText(Buffer.from(body), paths, path)
      return state.kind === 'found' ? state.text : undefined
    },
  }
}

type IdReading =
  | { readonly kind: 'found'; readonly id: string }
  | { readonly kind: 'absent' }
  | { readonly kind: 'unreadable'; readonly reason: string }

/** Finds the id at a JSON pointer, or at a path below the `results` of a ZAPI answer. A text says why it is neither. */
function idFinder(written: string): IdFinder | string {
  if (SoapPaths.isPath(written) && !written.includes('@')) {
    const paths = new SoapPaths()
    const path = paths.want(written)
    return (body) => {
      const id = zapiText(body, paths, path)
      return id.kind === 'found' ? { kind: 'found', id: id.text } : id
    }
  }
  const steps = pointerSteps(written)
  return steps === null
    ? 'neither a JSON pointer such as /volume/id nor a path such as result-jobid'
    : (body) => idIn(body, steps)
}

function idIn(body: Buffer, steps: readonly string[]): IdReading {
  const reading = readJson(body)
  if (!reading.ok) return { kind: 'unreadable', reason: reading.reason }
  const values = valuesAt(reading.value, steps)
  if (typeof values === 'string') return { kind: 'unreadable', reason: values }
  if (values.length === 0) return { kind: 'absent' }
  const [id] = values
  return values.length > 1 || typeof id !== 'string' || id === ''
    ? { kind: 'unreadable', reason: 'the id in the answer is no text and no whole number' }
    : { kind: 'found', id }
}

function untracked(name: string, statuses: readonly number[]): CompiledJob {
  const rule: JobRule = {
    appliesTo: (status) => statuses.includes(status),
    bodyBytesMax: 0,
    read: (status) =>
      statuses.includes(status)
        ? unreadable(`an answer ${status} says that work goes on, and nothing names it`)
        : { kind: 'none' },
  }
  return { name, bind: () => rule }
}

type TaskJob = Extract<JobSource, { kind: 'vsphere-task' }>

/** A lease's is `session[…]…`. */
const TASK_ID = /^[A-Za-z0-9._:[\]-]{1,256}$/

function compileTask(terms: JobTerms, source: TaskJob, faults: PackFault[]): CompiledJob | null {
  if (!SoapPaths.isPath(source.path) || source.path.includes('@')) {
    faults.push({ path: [...terms.path, 'path'], message: 'not a path of elements such as returnval/task' })
    return null
  }
  const methods = source.methods === undefined ? null : compilePattern(source.methods)
  if (typeof methods === 'string') {
    faults.push({ path: [...terms.path, 'methods'], message: methods })
    return null
  }
  const header =
    source.session_header === undefined ? null : terms.soapPaths.wantHeader(source.session_header)
  const reader = taskReader(source)
  return {
    name: terms.name,
    bind: (_, call) => {
      const isSure = methods === null || isOf(methods, call)
      const other =
        source.type === 'SmsTask' || source.type === 'VslmTask' ? { target: call.target.target } : {}
      const parts = source.parts === true ? { parts: true as const } : {}
      const session = header === null ? undefined : call.xmlValue('soap', header)
      const [borne] = Array.isArray(session) ? session : []
      const whence = { ...other, ...parts, ...(typeof borne === 'string' ? { session: borne } : {}) }
      return {
        appliesTo: (status) => source.statuses.includes(status),
        bodyBytesMax: JOB_ANSWER_BYTES_MAX,
        read: (status, body) => {
          if (!source.statuses.includes(status)) return { kind: 'none' }
          const found = reader(body, isSure)
          if (found.kind !== 'found') return found.kind === 'none' ? found : unreadable(found.reason)
          const { type } = source
          const probe = {
            kind: 'vsphere-task',
            task: found.id,
            ...(type === 'Task' ? {} : { type }),
            ...whence,
          } as const
          return { kind: 'job', id: found.id, probe }
        },
      }
    },
  }
}

/** A call whose method cannot be told counts as one of them. */
function isOf(methods: Pattern, call: CallReading): boolean {
  const method = call.method('soap')
  return !method.ok || methods.match(method.value) !== null
}

/** Not sure: as far as anybody knows the method starts nothing, but its answer may show that it did. */
type TaskReader = (
  body: Buffer,
  isSure: boolean,
) => { readonly kind: 'none' } | Exclude<IdReading, { kind: 'absent' }>

function taskReader(source: TaskJob): TaskReader {
  const paths = new SoapPaths()
  const text = paths.want(source.path)
  const type = paths.want(`${source.path}@type`)
  return (body, isSure) => {
    if (body.length > JOB_ANSWER_BYTES_MAX)
      return isSure ? { kind: 'unreadable', reason: 'the answer is too long' } : { kind: 'none' }
    const reading = readSoap(body, paths)
    if (!reading.ok) return isSure ? { kind: 'unreadable', reason: reading.reason } : { kind: 'none' }
    const tasks = reading.values[text.value]
    const kinds = reading.values[type.value]
    if (isSure ? tasks === undefined && source.optional : kinds?.includes(source.type) !== true)
      return { kind: 'none' }
    const [id] = tasks ?? []
    return tasks?.length !== 1 || typeof id !== 'string' || kinds?.[0] !== source.type || !TASK_ID.test(id)
      ? { kind: 'unreadable', reason: `the answer ${reading.method} does not name one ${source.type}` }
      : { kind: 'found', id }
  }
}

function unreadable(reason: string): JobReading {
  return { kind: 'unreadable', reason }
}
