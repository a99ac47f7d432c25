// Tells the story, and vouches for it: nothing is printed as seen that was not observed.

import { stdout } from 'node:process'
import { setTimeout as sleep } from 'node:timers/promises'
import { styleText } from 'node:util'

type Style = Parameters<typeof styleText>[0]

const pollMs = 50

export class NotObserved extends Error {
  override readonly name = 'NotObserved'
}

const coloured = (style: Style, text: string): string =>
  styleText(style, text, { stream: stdout, validateStream: true })

const print = (line: string): void => void stdout.write(`${line}\n`)

let seen = 0

export const observations = (): number => seen

export function heading(text: string): void {
  print(`\n${coloured(['bold'], text)}\n`)
}

export function tell(text: string): void {
  print(`  ${text}`)
}

/** A fact that was just observed. */
export function confirm(text: string): void {
  seen += 1
  print(`  ${coloured('green', '✓')} ${text}`)
}

/** A fact, too, but not one to be glad of. */
export function deplore(text: string): void {
  seen += 1
  print(`  ${coloured('red', '✗')} ${coloured('red', text)}`)
}

export function expectThat(condition: boolean, otherwise: string): asserts condition {
  if (!condition) throw new NotObserved(otherwise)
}

/** Looks until there is something to see; throws `NotObserved` after `limitMs`. */
export async function watchFor<Sight>(
  what: string,
  limitMs: number,
  look: () => Promise<Sight | null> | Sight | null,
): Promise<Sight> {
  const deadlineMs = performance.now() + limitMs
  for (;;) {
    const sight = await look()
    if (sight !== null) return sight
    if (performance.now() > deadlineMs) throw new NotObserved(`never seen: ${what}`)
    await sleep(pollMs)
  }
}
