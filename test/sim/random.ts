// Randomness from a seed (sfc32): the same seed gives the same numbers on every machine.

export class Random {
  #a: number
  #b = 0x9e3779b9
  #c = 0x243f6a88
  #counter = 1

  constructor(seed: number) {
    this.#a = seed >>> 0
    this.#b ^= Math.floor(seed / 2 ** 32) >>> 0
    for (let i = 0; i < 12; i++) this.#next()
  }

  #next(): number {
    const sum = (this.#a + this.#b + this.#counter) | 0
    this.#counter = (this.#counter + 1) | 0
    this.#a = this.#b ^ (this.#b >>> 9)
    this.#b = (this.#c + (this.#c << 3)) | 0
    this.#c = ((this.#c << 21) | (this.#c >>> 11)) + sum
    this.#c |= 0
    return sum >>> 0
  }

  /** From 0 up to, but not, 1. */
  unit(): number {
    return this.#next() / 2 ** 32
  }

  between(min: number, max: number): number {
    return min + this.unit() * (max - min)
  }

  below(count: number): number {
    return Math.floor(this.unit() * count)
  }

  chance(probability: number): boolean {
    return this.unit() < probability
  }

  pick<Item>(items: readonly Item[]): Item | null {
    return items[this.below(items.length)] ?? null
  }

  hex(digits: number): string {
    let text = (1 + this.below(15)).toString(16)
    while (text.length < digits) text += this.below(16).toString(16)
    return text
  }
}
