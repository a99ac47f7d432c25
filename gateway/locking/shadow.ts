// Whether all gateways are in shadow mode: then nobody relies on fences yet, and none may strike.

import type { FencePlanner } from '../spi/fence-planner.ts'
import type { View } from './view.ts'

/**
 * The planner, with fences that strike nobody while every registered gateway, gone ones included, says that it enforces nothing.
 * One that enforces, or cannot be read, is enough for real ones.
 */
export function inShadow(planner: FencePlanner, view: View): FencePlanner {
  return {
    get defaultPlan() {
      return planner.defaultPlan
    },
    ...(planner.secrets === undefined ? {} : { secrets: planner.secrets }),
    levels: (plan) => planner.levels(plan),
    terms(plan) {
      const terms = planner.terms?.(plan) ?? null
      if (!isShadow(view)) return terms
      return { delaysMs: terms?.delaysMs ?? [], dryRun: true, shadow: true }
    },
    ...(planner.fillFenceInfo === undefined
      ? {}
      : {
          fillFenceInfo: (plan, said) =>
            planner.fillFenceInfo?.(plan, said) ?? { kind: 'filled', fenceInfo: said.fenceInfo },
        }),
    checkFenceInfo: (plan, fenceInfo, moment) => planner.checkFenceInfo(plan, fenceInfo, moment),
  }
}

function isShadow(view: View): boolean {
  if (view.gateways.size === 0) return false
  for (const { record } of view.gateways.values()) if (record.shadow !== true) return false
  return true
}
