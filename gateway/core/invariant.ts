// Programmer faults end the process: a gateway that is wrong about itself must not go on admitting calls.

export class InvariantViolation extends Error {
  override readonly name = 'InvariantViolation'
}

/** Throws `InvariantViolation`, which nothing may catch, where `condition` does not hold. */
export function invariant(condition: unknown, message: string): asserts condition {
  if (!condition) throw new InvariantViolation(message)
}

/** Marks a branch that the type checker proves unreachable. */
export function unreachable(value: never): never {
  throw new InvariantViolation(`unreachable case: ${JSON.stringify(value)}`)
}
