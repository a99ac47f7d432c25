// The value behind a dotted name, such as `holder.host`, in what holders and operators have said.

/** Undefined where there is none. Own members only: a name must not reach what every object has. */
export function valueAt(scope: Readonly<Record<string, unknown>>, name: string): unknown {
  return name.split('.').reduce<unknown>((found, step) => ownMember(found, step), scope)
}

export function ownMember(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, name)
    ? Reflect.get(value, name)
    : undefined
}
