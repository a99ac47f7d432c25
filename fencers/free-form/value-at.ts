// The value behind a dotted name, such as `holder.host`, in what holders and operators have said.

/** Undefined where there is none. Own members only: a name must not reach what every object has. */
export function valueAt(scope: Readonly<Record<string, unknown>>, name: string): unknown {
  let found: unknown = scope
  for (const step of name.split('.')) {
    const inside: unknown = found
    found =
      typeof inside === 'object' && inside !== null && Object.hasOwn(inside, step)
        ? Reflect.get(inside, step)
        : undefined
  }
  return found
}
