// Reads what a ClusterLabs fence agent says of itself (its metadata, XML) and finds what the configuration has wrong.
// An agent ignores a parameter that it does not know, and may then strike another machine than the one that was meant.

export interface AgentMetadata {
  readonly parameters: ReadonlySet<string>
  readonly actions: ReadonlySet<string>
}

/** The attributes are all that is wanted, so no parser of XML; throws where this is no fence agent's metadata. */
export function parseMetadata(text: string): AgentMetadata {
  if (!/<resource-agent[\s>]/.test(text) || !text.includes('</resource-agent>')) {
    throw new Error("what it printed is no fence agent's metadata")
  }
  const names = (element: string): ReadonlySet<string> =>
    new Set(
      [...text.matchAll(new RegExp(`<${element}\\s[^>]*?\\bname=["']([^"']+)["']`, 'g'))].map(
        (match) => match[1] ?? '',
      ),
    )
  return { parameters: names('parameter'), actions: names('action') }
}

/** One sentence for each parameter or action that the agent does not have. */
export function metadataFaults(
  metadata: AgentMetadata,
  wanted: { readonly parameters: Iterable<string>; readonly actions: Iterable<string> },
): readonly string[] {
  const faults: string[] = []
  for (const name of wanted.parameters) {
    // Agents take both spellings and list one of them.
    const known = metadata.parameters.has(name) || metadata.parameters.has(name.replaceAll('-', '_'))
    if (!known) faults.push(`it has no parameter ${name}${suggestion(name, metadata.parameters)}`)
  }
  for (const name of wanted.actions) {
    if (!metadata.actions.has(name)) faults.push(`it has no action ${name}`)
  }
  return faults
}

/** "; did you mean ip?", or nothing where nothing is near. */
export function suggestion(name: string, known: Iterable<string>): string {
  const ranked = [...known]
    .map((candidate) => ({ candidate, distance: editDistance(name, candidate) }))
    .sort((a, b) => a.distance - b.distance)
  const [best] = ranked
  return best === undefined || best.distance > Math.max(2, name.length / 2)
    ? ''
    : `; did you mean ${best.candidate}?`
}

function editDistance(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, index) => index)
  for (const [i, letter] of from.split('').entries()) {
    const next = [i + 1]
    for (const [j, other] of to.split('').entries()) {
      const insertion = (next[j] ?? 0) + 1
      const deletion = (row[j + 1] ?? 0) + 1
      const substitution = (row[j] ?? 0) + (letter === other ? 0 : 1)
      next.push(Math.min(insertion, deletion, substitution))
    }
    row = next
  }
  return row[to.length] ?? 0
}
