// A pack to grow in tests, and the way from its text to a policy.

import { invariant } from '../../../gateway/core/invariant.ts'
import { compilePolicy, formatPolicyFault, loadPack, type Pack } from '../../../gateway/policy/index.ts'
import type { Policy } from '../../../gateway/spi/policy.ts'

export const SMALL = `policy: small
title: A small API
dialect: problem
default_lock: small
locks: { thing: "small/{thing}" }
rules:
  - { id: first, path: /taken, effect: read }
  - { id: thing, method: DELETE, path: "/things/{thing}", effect: mutate, locks: thing }`

export function packOf(text: string): Pack {
  const loaded = loadPack(text, 'small.yaml')
  invariant(loaded.ok, loaded.ok ? '' : loaded.faults.map(formatPolicyFault).join('\n'))
  return loaded.value
}

/** The small pack with further rules, as a policy. */
export function policyOf(rules: string, settings = ''): Policy {
  const compiled = compilePolicy({ pack: packOf(`${settings}\n${SMALL}\n${rules}`) })
  invariant(compiled.ok, compiled.ok ? '' : compiled.faults.map(formatPolicyFault).join('\n'))
  return compiled.value
}
