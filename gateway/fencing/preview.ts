// What a fence that is not due yet would do: its levels, whom each fencer would strike, who goes down with him, and what would
// hold it. It asks nobody and writes nothing.

import type { FenceRecord } from '../core/fence-record.ts'
import { describeIssues, schemaWords } from '../core/schema-words.ts'
import type { Neighbour } from '../spi/fence-journal.ts'
import type { FencePreview, FencerPreview } from '../spi/fence-preview.ts'
import type { FencerHealth } from '../spi/fencer-health.ts'
import type { PowerBrake } from './brakes.ts'
import { crowdOf, isPower } from './next-step.ts'
import type { Fencing } from './plans.ts'

export interface PreviewParts {
  readonly fencing: Fencing
  readonly power: PowerBrake
  /** Fences of this plan that run, at all gateways. */
  readonly running: number
  readonly health: readonly FencerHealth[]
  readonly neighbours: readonly Neighbour[]
}

/** `record`: as it would be written, had it been ordered now. */
export function previewFence(record: FenceRecord, parts: PreviewParts): FencePreview {
  const { fencing, neighbours } = parts
  return {
    session: record.id,
    holder: record.holder,
    plan: record.plan,
    fenceInfo: fencing.secrets.hidden(record.fenceInfo),
    dryRun: record.dryRun === true,
    levels: record.levels.map((names, level) => ({
      delayMs: record.delaysMs?.[level] ?? 0,
      fencers: names.map((name) => previewFencer(name, record, parts)),
    })),
    neighbours,
    heldBy: heldBy(record, parts),
  }
}

function previewFencer(
  name: string,
  { fenceInfo }: FenceRecord,
  { fencing, health }: PreviewParts,
): FencerPreview {
  const redact = fencing.secrets.redactor(fenceInfo)
  const configured = fencing.fencer(name)
  const known = health.find(({ fencer }) => fencer === name)
  const common = { fencer: name, health: known?.state ?? 'unknown', reason: known?.reason ?? null } as const
  if (configured === null)
    return {
      ...common,
      driver: null,
      proves: [],
      power: false,
      target: null,
      fault: `there is no fencer ${name} in this gateway's configuration`,
    }
  const { driver, proves } = configured
  const parsed = driver.fenceInfo.safeParse(fenceInfo, { error: schemaWords })
  const fault = parsed.success ? null : redact(describeIssues(parsed.error.issues))
  return {
    ...common,
    driver: driver.id,
    proves,
    power: isPower(configured),
    target: parsed.success ? redact(`${driver.id}:${driver.target(parsed.data)}`) : null,
    fault,
  }
}

function heldBy(
  record: FenceRecord,
  { fencing, power, running, health, neighbours }: PreviewParts,
): string[] {
  const { progress, plan } = record
  const { brakes, blastRadiusMax } = fencing.settings(plan)
  const lines: string[] = []
  if (progress.state === 'blocked') lines.push(progress.reason)
  if (progress.state === 'closed')
    lines.push(`nobody would be struck: ${progress.reason ?? progress.outcome}`)
  if (record.shadow === true) lines.push('shadow mode: nobody would be struck')
  else if (record.dryRun === true)
    lines.push('the plan is a dry run: nobody would be struck, and the fence would wait for an operator')
  if (running >= brakes.atOnce)
    lines.push(`${running} fences of this plan run already (brakes.atOnce): it would wait its turn`)
  for (const [level, names] of record.levels.entries()) {
    for (const name of names) {
      const perHour = fencing.limits.fencers[name]?.perHour
      if (perHour !== undefined && !power.allowsFencer(record.id, name, perHour))
        lines.push(
          `level ${level + 1} (${name}): the brakes allow it ${perHour} fences an hour (brakes.fencers)`,
        )
    }
    const cutting = names.filter((name) => {
      const configured = fencing.fencer(name)
      return configured !== null && isPower(configured)
    })
    if (cutting.length === 0) continue
    const which = `level ${level + 1} (${cutting.join(', ')})`
    if (!power.allows(plan, { fence: record.id, fencers: cutting }, brakes.powerPerHour))
      lines.push(
        `${which}: the brakes allow ${brakes.powerPerHour} power fences an hour (brakes.powerPerHour)`,
      )
    const { powerPerHour } = fencing.limits
    if (powerPerHour !== null && !power.allowsInTotal({ fence: record.id, fencers: cutting }, powerPerHour))
      lines.push(`${which}: the brakes allow ${powerPerHour} power fences an hour over all plans`)
    if (blastRadiusMax !== undefined && neighbours.length > blastRadiusMax)
      lines.push(`${which}: ${crowdOf(neighbours)}, and blastRadiusMax is ${blastRadiusMax}`)
  }
  for (const { fencer, state, reason } of health)
    if (state === 'unhealthy' && record.levels.flat().includes(fencer))
      lines.push(`${fencer} could not do its job when it was last asked: ${reason ?? ''}`)
  return lines
}
