// Lines that a head loses on its way through this hop, as places in its text. One object serves all heads of a connection:
// nothing is allocated for them but the text that is left.

export class LineCuts {
  /** Starts and ends in turn. What stands behind `#count` is of heads before. */
  readonly #places: number[] = []
  #count = 0
  #lastEnd = 0
  #inOrder = true

  clear(): void {
    this.#count = 0
    this.#lastEnd = 0
    this.#inOrder = true
  }

  add(start: number, end: number): void {
    if (start < this.#lastEnd) this.#inOrder = false
    this.#lastEnd = end
    this.#places[this.#count] = start
    this.#places[this.#count + 1] = end
    this.#count += 2
  }

  startsAt(start: number): boolean {
    for (let i = 0; i < this.#count; i += 2) if (this.#places[i] === start) return true
    return false
  }

  /** What is left of the text between two places. A line may have been cut twice. */
  rest(text: string, from: number, to: number): string {
    if (!this.#inOrder) this.#sort()
    let rest = ''
    for (let i = 0; i < this.#count; i += 2) {
      const start = this.#places[i] ?? from
      if (start > from) rest += text.slice(from, start)
      from = Math.max(from, this.#places[i + 1] ?? from)
    }
    return from >= to ? rest : rest + text.slice(from, to)
  }

  #sort(): void {
    const pairs: [number, number][] = []
    for (let i = 0; i < this.#count; i += 2) pairs.push([this.#places[i] ?? 0, this.#places[i + 1] ?? 0])
    pairs.sort((a, b) => a[0] - b[0])
    this.clear()
    for (const [start, end] of pairs) this.add(start, end)
    this.#inOrder = true
  }
}
