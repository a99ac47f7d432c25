// Several policies in front of one backend that speaks several APIs, as a vCenter does: the first part of the path says which
// of them decides. However a path is spelt, the one whose part a backend might read there decides, or refuses.

import type { CallHead, Classification, Policy } from '../spi/policy.ts'
import { canonicalTarget } from './target.ts'

/** How often a backend may decode a path before it looks at it. */
const DECODINGS_MAX = 4
const PLAIN_FIRST = /^\/([A-Za-z0-9\-_.~]+)(?:[/?]|$)/

/** `beside`: by the first part of the path, in lower case and without its slash. */
export function joinPolicies(main: Policy, beside: ReadonlyMap<string, Policy>): Policy {
  return beside.size === 0 ? main : new JoinedPolicy(main, beside)
}

class JoinedPolicy implements Policy {
  readonly name: string
  readonly dialect: Policy['dialect']
  readonly quietMs: number | null
  readonly bodyBytesMax: number
  readonly loginKeys: readonly string[]
  readonly asksLogin: 'basic' | 'no'
  readonly #main: Policy
  readonly #beside: ReadonlyMap<string, Policy>

  constructor(main: Policy, beside: ReadonlyMap<string, Policy>) {
    const all = [main, ...beside.values()]
    this.name = main.name
    this.dialect = main.dialect
    this.quietMs = longest(all.map((policy) => policy.quietMs))
    this.bodyBytesMax = Math.min(...all.map((policy) => policy.bodyBytesMax))
    this.loginKeys = [...new Set(all.flatMap((policy) => policy.loginKeys ?? []))]
    this.asksLogin = main.asksLogin ?? 'no'
    this.#main = main
    this.#beside = beside
  }

  bodyBytesNeeded(head: CallHead): number {
    return this.#of(head.target).bodyBytesNeeded(head)
  }

  classify(head: CallHead, body: Buffer | null): Classification {
    const policy = this.#of(head.target)
    return this.#inItsWords(policy, policy.classify(head, body))
  }

  explain(head: CallHead, body: Buffer | null): { classification: Classification; trace: readonly string[] } {
    const policy = this.#of(head.target)
    const { classification, trace } = policy.explain(head, body)
    return policy === this.#main
      ? { classification, trace }
      : {
          classification: this.#inItsWords(policy, classification),
          trace: [`the policy ${policy.name} decides here`, ...trace],
        }
  }

  #inItsWords(policy: Policy, found: Classification): Classification {
    return policy === this.#main || found.dialect !== undefined
      ? found
      : { ...found, dialect: policy.dialect }
  }

  #of(target: string): Policy {
    const plain = PLAIN_FIRST.exec(target)?.[1]
    return (plain === undefined ? this.#ofAny(target) : this.#beside.get(plain.toLowerCase())) ?? this.#main
  }

  /** As leniently as any backend may read it: a policy that is strict about the rest refuses it then. */
  #ofAny(target: string): Policy | undefined {
    const read = canonicalTarget(target, {
      doubleEncoding: 'allow',
      emptySegments: 'merge',
      encodedSlash: 'data',
    })
    // No policy reads what this does not.
    if (!read.ok) return undefined
    let first = read.segments[0] ?? ''
    for (let decodings = 0; decodings < DECODINGS_MAX; decodings++) {
      const [part = ''] = first.split('/').filter((one) => one !== '')
      const policy = this.#beside.get(part.toLowerCase())
      if (policy !== undefined) return policy
      try {
        first = decodeURIComponent(first)
      } catch {
        // URIError: there is nothing more to decode in it.
        return undefined
      }
    }
    return undefined
  }
}

/** Null where any of them knows none. */
function longest(quietMs: readonly (number | null)[]): number | null {
  const known = quietMs.filter((ms) => ms !== null)
  return known.length < quietMs.length ? null : Math.max(...known)
}
