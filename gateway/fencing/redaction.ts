// Keeps secrets out of fence records, logs and answers: what a fencer's options call a secret never leaves as it is.

const SECRET_NAME = /pass|secret|token|credential|private|community|apikey|api_key|^key$|^env$/i
/** Shorter values would turn ordinary words into blots, and hide nothing that could not be guessed. */
const SECRET_LENGTH_MIN = 4
const REDACTED = '[secret]'

export type Redactor = (text: string) => string

/** Replaces every value under a secret-sounding option, also where it was encoded for a URL, XML or basic auth. */
export function createRedactor(options: unknown): Redactor {
  const values = new Set<string>()
  collect(options, false, values)
  const forms = [...values].flatMap((value) => [
    value,
    encodeURIComponent(value),
    value.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`),
    JSON.stringify(value).slice(1, -1),
    Buffer.from(value).toString('base64').replace(/=+$/, ''),
  ])
  // Longest first: a secret that holds another one goes as a whole.
  const ordered = [...new Set(forms)].sort((a, b) => b.length - a.length)
  return (text) => ordered.reduce((rest, value) => rest.replaceAll(value, REDACTED), text)
}

function collect(value: unknown, isSecret: boolean, into: Set<string>): void {
  if (typeof value === 'string') {
    if (isSecret && value.length >= SECRET_LENGTH_MIN) into.add(value)
  } else if (Array.isArray(value)) {
    for (const item of value) collect(item, isSecret, into)
  } else if (typeof value === 'object' && value !== null) {
    for (const [key, item] of Object.entries(value)) collect(item, isSecret || SECRET_NAME.test(key), into)
  }
}
