// The known word that somebody most likely meant; for messages only.

/** The closest of `known` within a third of the word's length, or null where none is close enough to be meant. */
export function nearest(word: string, known: Iterable<string>): string | null {
  const allowed = Math.max(1, Math.ceil(Math.min(word.length, 64) / 3))
  let best: { readonly name: string; readonly distance: number } | null = null
  for (const name of known) {
    const distance = editDistance(word.slice(0, 64).toLowerCase(), name.slice(0, 64).toLowerCase())
    if (distance <= allowed && (best === null || distance < best.distance)) best = { name, distance }
  }
  return best === null ? null : best.name
}

/** Insertions, deletions, replacements, and swaps of neighbours. Words are cut to 64 characters by the caller. */
function editDistance(a: string, b: string): number {
  let beforeLast: number[] = []
  let last = Array.from({ length: b.length + 1 }, (_, column) => column)
  for (let row = 1; row <= a.length; row++) {
    const current = [row]
    for (let column = 1; column <= b.length; column++) {
      const same = a[row - 1] === b[column - 1]
      let cost = Math.min(
        (last[column] ?? 0) + 1,
        (current[column - 1] ?? 0) + 1,
        (last[column - 1] ?? 0) + (same ? 0 : 1),
      )
      if (row > 1 && column > 1 && a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1])
        cost = Math.min(cost, (beforeLast[column - 2] ?? 0) + 1)
      current.push(cost)
    }
    beforeLast = last
    last = current
  }
  return last[b.length] ?? 0
}
