// A value that must never be printed: whoever needs it asks for it by name.

const inspect = Symbol.for('nodejs.util.inspect.custom')

/** Shows itself as `[secret]` in JSON, logs, templates and inspection. Only `reveal` gives the value. */
export class Secret<Value = string> {
  readonly #value: Value

  constructor(value: Value) {
    this.#value = value
  }

  reveal(): Value {
    return this.#value
  }

  toJSON(): string {
    return '[secret]'
  }

  toString(): string {
    return '[secret]'
  }

  [inspect](): string {
    return '[secret]'
  }
}
