// What the answer to a login tells: by which later calls will name the session that it opened, and what a fencer is to know
// of it. Compiled from a rule's `login:`.

import type { AnswerFields, LoginAnswer, LoginReading } from '../spi/policy.ts'
import type { PackFault } from './fault.ts'
import { readJson } from './json-reader.ts'
import { pointerSteps, valuesAt } from './reading.ts'
import type { AnswerPlaceSource, LoginSource } from './schema.ts'
import { type SoapPath, SoapPaths } from './soap-paths.ts'
import { readSoap, type SoapReading } from './soap-reader.ts'

/** Answers to logins are short; a longer one is unreadable. */
export const LOGIN_ANSWER_BYTES_MAX = 65_536
const VALUE_CHARACTERS_MAX = 4_096

type Place =
  | { readonly kind: 'cookie' | 'header'; readonly name: string }
  | { readonly kind: 'json'; readonly steps: readonly string[]; readonly name: string }
  | { readonly kind: 'soap'; readonly path: SoapPath; readonly name: string }
  /** The texts of the elements, and their names, side by side. */
  | { readonly kind: 'xml'; readonly texts: SoapPath; readonly names: SoapPath; readonly name: string }

/** What is wanted of a SOAP answer, and of one in plain XML. */
interface XmlPaths {
  readonly soap: SoapPaths
  readonly plain: SoapPaths
}

/** Why a value cannot be told. */
class Unclear extends Error {}

export function compileLoginAnswer(
  source: LoginSource,
  path: readonly PropertyKey[],
  faults: PackFault[],
): LoginAnswer | null {
  if (source.session.length === 0) {
    if (Object.keys({ ...source.collect, ...source.note }).length > 0 || source.opened_if !== undefined)
      faults.push({ path, message: 'opened_if, collect and note need session: what the answer opens' })
    return null
  }
  const paths = { soap: new SoapPaths(), plain: new SoapPaths() }
  const compiled = (written: AnswerPlaceSource, at: readonly PropertyKey[]): Place[] => {
    const place = placeOf(written, paths)
    if (typeof place !== 'string') return [place]
    faults.push({ path: [...path, ...at], message: place })
    return []
  }
  const { opened_if: condition } = source
  const [opened] = condition === undefined ? [] : compiled(condition.place, ['opened_if', 'place'])
  const openedIf =
    condition === undefined || opened === undefined ? null : { place: opened, value: condition.value }
  const sessions = source.session.flatMap((place, index) => compiled(place, ['session', index]))
  const named = (section: 'collect' | 'note'): readonly (readonly [string, Place])[] =>
    Object.entries(source[section]).flatMap(([name, place]) =>
      compiled(place, [section, name]).map((made) => [name, made] as const),
    )
  const collect = named('collect')
  const note = named('note')
  const statuses = new Set(source.statuses)
  return {
    bodyBytesMax: LOGIN_ANSWER_BYTES_MAX,
    appliesTo: (status) => statuses.has(status),
    read(fields, body) {
      const answer = new Answer(fields, body, paths)
      try {
        if (openedIf !== null && answer.value(openedIf.place) !== openedIf.value)
          return { kind: 'not-opened' }
        return readAnswer(answer, { sessions, collect, note })
      } catch (error) {
        if (error instanceof Unclear) return { kind: 'unreadable', reason: error.message }
        throw error
      }
    },
  }
}

function readAnswer(
  answer: Answer,
  places: {
    readonly sessions: readonly Place[]
    readonly collect: readonly (readonly [string, Place])[]
    readonly note: readonly (readonly [string, Place])[]
  },
): LoginReading {
  const told = (named: readonly (readonly [string, Place])[]) =>
    Object.fromEntries(
      named.flatMap(([name, place]) => {
        const value = answer.value(place)
        return value === null ? [] : [[name, value] as const]
      }),
    )
  const sessions = places.sessions.map((place) => answer.value(place)).filter((value) => value !== null)
  return { kind: 'opened', opened: { sessions, collect: told(places.collect), note: told(places.note) } }
}

class Answer {
  readonly #fields: AnswerFields
  readonly #body: Buffer
  readonly #paths: XmlPaths
  readonly #read: { soap?: SoapReading; plain?: SoapReading } = {}

  constructor(fields: AnswerFields, body: Buffer, paths: XmlPaths) {
    this.#fields = fields
    this.#body = body
    this.#paths = paths
  }

  /** Null where there is none. */
  value(place: Place): string | null {
    const values = this.#values(place)
    if (values.length > 1) throw new Unclear(`the answer's ${place.name} stands there more than once`)
    const [value] = values
    if (value === undefined || value === '') return null
    if (value === null || value.length > VALUE_CHARACTERS_MAX)
      throw new Unclear(`the answer's ${place.name} is no plain text`)
    return value
  }

  #values(place: Place): readonly (string | null)[] {
    switch (place.kind) {
      case 'header':
        return this.#fields.all(place.name).map((value) => value.trim())
      case 'cookie':
        return [...new Set(this.#fields.all('set-cookie').flatMap((field) => cookieSet(field, place.name)))]
      case 'json': {
        const reading = readJson(this.#body)
        if (!reading.ok) throw new Unclear(reading.reason)
        const values = valuesAt(reading.value, place.steps)
        if (typeof values === 'string') throw new Unclear(values)
        return values
      }
      case 'soap':
        return this.#xml('soap').values[place.path.value] ?? []
      case 'xml': {
        const { values } = this.#xml('plain')
        const texts = values[place.texts.value] ?? []
        const names = values[place.names.value] ?? []
        if (texts.length !== names.length) throw new Unclear(`the answer's ${place.name} has no name`)
        return texts.filter((_, index) => names[index] === place.name)
      }
    }
  }

  #xml(form: 'soap' | 'plain'): Extract<SoapReading, { ok: true }> {
    const reading = this.#read[form] ?? readSoap(this.#body, this.#paths[form], form)
    this.#read[form] = reading
    if (!reading.ok) throw new Unclear(reading.reason)
    return reading
  }
}

function placeOf(source: AnswerPlaceSource, paths: XmlPaths): Place | string {
  if ('cookie' in source) return { kind: 'cookie', name: source.cookie }
  if ('header' in source) return { kind: 'header', name: source.header.toLowerCase() }
  if ('json' in source) {
    const steps = pointerSteps(source.json)
    return steps === null
      ? `${JSON.stringify(source.json)} is not a JSON pointer`
      : { kind: 'json', steps, name: `json ${source.json}` }
  }
  if ('xml' in source) {
    const { xml, named } = source
    if (!SoapPaths.isPath(xml) || xml.includes('@'))
      return `${JSON.stringify(xml)} is not a path such as OBJECT/PROPERTY`
    return { kind: 'xml', texts: paths.plain.want(xml), names: paths.plain.want(`${xml}@name`), name: named }
  }
  return SoapPaths.isPath(source.soap)
    ? { kind: 'soap', path: paths.soap.want(source.soap), name: `soap ${source.soap}` }
    : `${JSON.stringify(source.soap)} is not a path such as returnval/key`
}

/** The value of a Set-Cookie field, where it sets this cookie to something. */
function cookieSet(field: string, name: string): string[] {
  const pair = field.split(';', 1)[0] ?? ''
  const equals = pair.indexOf('=')
  if (equals < 0 || pair.slice(0, equals).trim() !== name) return []
  const value = pair.slice(equals + 1).trim()
  return value === '' || value === '""' ? [] : [value]
}
