// What the fencer vsphere-session is configured with, and what it needs to know of a holder.

import { z } from 'zod'
import { vcenterTls, vcenterUrl } from './endpoint.ts'

export const SessionOptions = z.strictObject({
  url: vcenterUrl,
  username: z
    .string()
    .min(1)
    .describe(
      "an account with the privileges Sessions.TerminateSession and Sessions.ValidateSession, and no holder's",
    ),
  password: z.string().min(1).describe('of that account'),
  tls: vcenterTls,
  sessionsOf: z
    .enum(['key', 'user', 'address'])
    .default('key')
    .describe(
      "key: the holder's session alone (the default); user: all of its user; address: those of its user from its client address",
    ),
  awaitTasks: z
    .boolean()
    .default(false)
    .describe("fenced only once no task of the session's user is queued or running"),
  cancelTasks: z
    .boolean()
    .default(false)
    .describe(
      'cancels what can be canceled of them, and awaits the rest; wants one user name for each holder',
    ),
})
export type SessionOptions = z.infer<typeof SessionOptions>

const sessionKey = z.string().min(1).max(256)

const SessionFields = z.object({
  sessionKey: sessionKey
    .optional()
    .describe("the session's key as vCenter lists it, which is not the value of the cookie"),
  sessionKeys: z
    .array(sessionKey)
    .max(256)
    .optional()
    .describe(
      'in its place: the gateway adds the keys of all sessions that the holder opens through it; [] to begin with',
    ),
  userName: z
    .string()
    .min(1)
    .max(256)
    .optional()
    .describe(
      'as vCenter writes it (EXAMPLE.COM\\name), to find the tasks of a session that ended by itself',
    ),
  clientAddress: z
    .string()
    .min(1)
    .max(64)
    .optional()
    .describe('as vCenter lists it (ipAddress), for sessionsOf: address, where the session ended by itself'),
  restSession: z
    .string()
    .regex(/^[\x21-\x7e]{8,256}$/)
    .optional()
    .describe("the holder's vmware-api-session-id, where he has a session of the REST API as well")
    // Whoever knows it is the holder, towards vCenter.
    .meta({ secret: true }),
  loginTime: z.iso
    .datetime({ offset: true })
    .optional()
    .describe("RFC 3339; tasks queued before it are not this session's"),
})
export const SessionInfo = SessionFields.refine(
  (info) => info.sessionKey !== undefined || info.sessionKeys !== undefined,
  { path: ['sessionKey'], error: 'give sessionKey, or sessionKeys: [] where the gateway sees the logins' },
)
export type SessionInfo = z.infer<typeof SessionInfo>

/** The keys of all sessions of his that are known. */
export function keysOf({ sessionKey: one, sessionKeys: listed = [] }: SessionInfo): readonly string[] {
  return one === undefined || listed.includes(one) ? listed : [one, ...listed]
}
