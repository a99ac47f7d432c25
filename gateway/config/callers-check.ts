// What a backend's `identify`, `implicit`, `listeners` and `callersOf` mean together.

import type { FaultText, Path } from './document.ts'
import type { Config } from './schema.ts'

export function checkCallers(
  config: Config,
  fault: (path: Path, text: FaultText) => void,
  warn: (path: Path, message: string) => void,
): void {
  const signed = config.tokens.signing?.required === true
  for (const [name, { identify, implicit, callersOf, listeners, tls }] of Object.entries(config.backends)) {
    const at = (key: string): Path => ['backends', name, key]
    if (implicit && identify.length === 0)
      fault(at('implicit'), {
        message: `nobody would be known at ${name}: it has no identify`,
        expected: `backends.${name}.identify, or no implicit`,
      })
    if (identify.includes('certificate') && tls?.clientCa === undefined)
      fault(at('identify'), {
        message: `${name} asks no client for a certificate`,
        expected: `backends.${name}.tls.clientCa, the certificate of who signs theirs`,
      })
    if (callersOf !== null && !Object.hasOwn(config.backends, callersOf))
      fault(at('callersOf'), {
        message: `there is no backend "${callersOf}"`,
        expected: `one of ${Object.keys(config.backends).join(', ')}`,
      })
    for (const listener of Object.keys(listeners))
      if (listener === name)
        fault([...at('listeners'), listener], {
          message: `${name} is the name of the backend's first listener`,
          expected: 'a name of its own',
        })
    if (!implicit) continue
    const weak = identify.filter((way) => way !== 'session' && way !== 'certificate')
    if (weak.length > 0)
      warn(
        at('implicit'),
        `whoever can pose as a holder by ${weak.join(', ')} changes things at ${name} without his token, as does an older process of his on the same machine or account`,
      )
    if (signed)
      warn(
        at('implicit'),
        `tokens.signing does not hold at ${name} for a caller who is known: his tokens are filled in for him`,
      )
  }
}
