// Sessions and tasks as vCenter lists them, and whose they are.

import { child, childText, type XmlElement } from '../xml/document.ts'

export interface ListedSession {
  readonly key: string
  readonly userName: string
  readonly loginTime: string
  readonly address: string
}

export interface ListedTask {
  readonly id: string
  readonly name: string
  readonly cancelable: boolean
}

/** Whose tasks and other sessions to look for. */
export interface Starter {
  readonly userName: string
  /** Empty where it is not known. */
  readonly address: string
  readonly sinceMs: number
}

export function sessionOf(element: XmlElement): ListedSession {
  return {
    key: childText(element, 'key') ?? '',
    userName: childText(element, 'userName') ?? '',
    loginTime: childText(element, 'loginTime') ?? '',
    address: childText(element, 'ipAddress') ?? '',
  }
}

/** Null for a task that is over, or that somebody else has started. */
export function unfinishedTask(id: string, info: XmlElement, starter: Starter): ListedTask | null {
  const state = childText(info, 'state')
  if (state === 'success' || state === 'error') return null
  const startedBy = childText(child(info, 'reason'), 'userName')
  if (startedBy === undefined || !sameUser(startedBy, starter.userName)) return null
  const queuedMs = Date.parse(childText(info, 'queueTime') ?? '')
  if (queuedMs < starter.sinceMs) return null
  return {
    id,
    name: childText(info, 'name') ?? childText(info, 'descriptionId') ?? 'a task',
    cancelable: childText(info, 'cancelable') === 'true',
  }
}

/** Both times are vCenter's own. Without one, no task is too old. */
export function timeOf(loginTime: string | undefined): number {
  const parsed = Date.parse(loginTime ?? '')
  return Number.isNaN(parsed) ? Number.NEGATIVE_INFINITY : parsed
}

export function sameUser(a: string, b: string): boolean {
  return a.toLowerCase() === b.toLowerCase()
}
