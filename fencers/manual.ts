// Asks an operator to make the holder harmless, and waits for the word. It does nothing by itself and never says "fenced":
// the fence is closed by `fencegate confirm`, with the name of whoever vouches.

import { z } from 'zod'
import { defineFencer } from '../gateway/spi/fencer.ts'
import { FreeFormInfo, targetOf } from './free-form/info.ts'
import { valueAt } from './free-form/value-at.ts'

const ManualOptions = z.strictObject({
  instructions: z
    .string()
    .min(1)
    .max(280)
    .describe('what the operator reads; {{holder.…}}, {{fenceInfo.…}} and {{fence.id}} are filled in'),
  goOn: z
    .boolean()
    .default(false)
    .describe('true: having asked, the next level is tried; else the fence waits for the operator'),
})
type ManualOptions = z.infer<typeof ManualOptions>

const VALUE_LENGTH_MAX = 80

export default defineFencer<ManualOptions, FreeFormInfo>({
  id: 'manual',
  summary: 'asks an operator, and waits until the fence is confirmed',
  // It takes nothing away at all, so a storm need not hold it.
  accessOnly: true,
  options: ManualOptions,
  fenceInfo: FreeFormInfo,
  example: {
    options: {
      instructions:
        'Switch {{fenceInfo.host}} off ({{holder.id}}), see that it is off, and confirm {{fence.id}}',
    },
    fenceInfo: { host: 'compute-3' },
  },
  proves: () => [],
  asksOperator: (options) => !options.goOn,
  target: targetOf,

  create(options) {
    return {
      // What was asked stands in the record as the reason why nothing was done.
      fence(info, attempt) {
        const scope = { fenceInfo: info, holder: attempt.holder, fence: { id: attempt.fenceId } }
        return Promise.reject(new Error(filled(options.instructions, scope)))
      },
      verify: () => Promise.resolve({ state: 'unknown', reason: 'nobody has confirmed it' }),
      // Whether somebody is there to be asked, nobody can tell.
      monitor: () => Promise.resolve(),
    }
  },
})

/** Holders write these values, and people read them: nothing that could pass for another line, and nothing endless. */
function filled(instructions: string, scope: Readonly<Record<string, unknown>>): string {
  return instructions.replace(/\{\{\s*([\w-]+(?:\.[\w-]+)*)\s*\}\}/g, (_whole, name: string) => {
    const found = valueAt(scope, name)
    if (typeof found !== 'string' && typeof found !== 'number' && typeof found !== 'boolean')
      return '(unknown)'
    return String(found)
      .replace(/[\p{C}\p{Z}]+/gu, ' ')
      .slice(0, VALUE_LENGTH_MAX)
  })
}
