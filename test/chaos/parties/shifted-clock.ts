// A wall clock that jumps, for one process. The monotonic clock stays what it is: as after a wrong word of a time server.

let offsetMs = 0
const real = globalThis.Date

export function shiftClock(toMs: number): void {
  offsetMs = toMs
}

const now = (): number => real.now() + offsetMs

globalThis.Date = new Proxy(real, {
  construct: (target, args, newTarget) =>
    Reflect.construct(target, args.length === 0 ? [now()] : args, newTarget),
  apply: () => new real(now()).toString(),
  get: (target, key, receiver) => (key === 'now' ? now : Reflect.get(target, key, receiver)),
})
