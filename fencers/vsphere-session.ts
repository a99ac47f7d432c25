// Terminates the holder's session at a vCenter, and cancels or awaits the tasks that it left running.
// It must never terminate the session that it works under, nor cancel a task that may be somebody else's.

import { type Attempt, defineFencer, StrikeWithheld, type Verification } from '../gateway/spi/fencer.ts'
import { createVcenterClient, retrieve, type VcenterClient, VcenterFault } from './vsphere/client.ts'
import {
  type ListedSession,
  type ListedTask,
  type Starter,
  sameUser,
  sessionOf,
  timeOf,
  unfinishedTask,
} from './vsphere/listing.ts'
import { createRestSessions } from './vsphere/rest-session.ts'
import { keysOf, SessionInfo, SessionOptions } from './vsphere/session-terms.ts'
import { childText, descendants, escapeXml } from './xml/document.ts'

const REMEMBERED_MAX = 1_000
const TERMINATE = 'Sessions.TerminateSession'
const VALIDATE = 'Sessions.ValidateSession'
const CANCEL = 'Global.CancelTask'

/**
 * What it proves. A terminated session is refused by vCenter, late arrivals included, but its holder may log in again
 * (oslo.vmware does so by itself), may have had another session all along, or a clone ticket: so neither `no-new-calls`
 * nor `blocks`, and by itself nothing at all. It is one level of a plan; the gateway refuses the holder's logins
 * meanwhile. With the tasks awaited it proves `swept`: what had arrived is over. A method that is no task and is still
 * being executed is in no list; the quiet time, which `swept` does not replace, covers it.
 */
export default defineFencer<SessionOptions, SessionInfo>({
  id: 'vsphere-session',
  summary: "terminates the holder's vSphere session and cancels or awaits its tasks",
  accessOnly: true,
  options: SessionOptions,
  fenceInfo: SessionInfo,
  example: {
    options: {
      url: 'https://vcenter.example/sdk',
      username: 'fencer@vsphere.local',
      password: 'file:/run/secrets/vcenter',
      awaitTasks: true,
    },
    fenceInfo: { sessionKey: '52d6cbd5-7c29-4f0c-8f3b-6f9a1e1d2c3b', userName: 'VSPHERE.LOCAL\\nova-3' },
  },
  proves: (options) => (options.awaitTasks || options.cancelTasks ? ['swept'] : []),
  // Empty while the holder has not logged in yet.
  target: (info) => keysOf(info).join(' '),

  create(options) {
    const client = createVcenterClient(options)
    const rest = createRestSessions(options)
    const host = new URL(options.url).host
    // Who owned a session that is gone: vCenter tells only while it lists it.
    const starters = new Map<string, Starter>()

    async function listSessions(signal: AbortSignal): Promise<readonly ListedSession[]> {
      const { sessionManager } = await client.content(signal)
      const spec =
        '<propSet><type>SessionManager</type><pathSet>sessionList</pathSet></propSet>' +
        `<objectSet><obj type="SessionManager">${escapeXml(sessionManager.value)}</obj></objectSet>`
      const found = await retrieve(client, spec, signal)
      // Afterwards: the read itself may have had to log in anew.
      const ownKey = await client.ownKey(signal)
      const listed = found.flatMap(({ value }) => value.children.map(sessionOf))
      // A list without the one who asks is not the list of all sessions.
      if (!listed.some((session) => session.key === ownKey)) {
        throw new VcenterFault('SessionList', "the list of sessions does not hold the fencer's own")
      }
      return listed
    }

    async function listTasks(starter: Starter, signal: AbortSignal): Promise<readonly ListedTask[]> {
      const { taskManager } = await client.content(signal)
      const spec =
        '<propSet><type>Task</type><pathSet>info</pathSet></propSet>' +
        `<objectSet><obj type="TaskManager">${escapeXml(taskManager.value)}</obj><skip>true</skip>` +
        '<selectSet xsi:type="TraversalSpec"><name>tasks</name><type>TaskManager</type><path>recentTask</path>' +
        '<skip>false</skip></selectSet></objectSet>'
      const found = await retrieve(client, spec, signal)
      return found.flatMap(({ object, value }) => {
        const task = unfinishedTask(object.value, value, starter)
        return task === null ? [] : [task]
      })
    }

    /** Empty where nothing is known of him. */
    function startersOf(info: SessionInfo): readonly Starter[] {
      const known = keysOf(info).map((key) => starters.get(key))
      const found = known.filter((starter) => starter !== undefined)
      if (info.userName === undefined) return found.length === known.length ? found : []
      const { userName, clientAddress: address = '', loginTime } = info
      return found.length === known.length && found.length > 0
        ? found
        : [...found, { userName, address, sinceMs: timeOf(loginTime) }]
    }

    /** Null where it cannot be told which other sessions are meant. */
    function othersOf(info: SessionInfo): ((session: ListedSession) => boolean) | null {
      if (options.sessionsOf === 'key') return () => false
      const known = startersOf(info)
      if (known.length === 0) return null
      if (options.sessionsOf === 'address' && known.some(({ address }) => address === '')) return null
      return (session) =>
        known.some(
          ({ userName, address }) =>
            sameUser(session.userName, userName) &&
            (options.sessionsOf === 'user' || session.address === address),
        )
    }

    async function terminate(sessionKey: string, attempt: Attempt): Promise<void> {
      const { sessionManager } = await client.content(attempt.signal)
      try {
        // One key a call: a list is worked off in order and stops at the first that is unknown.
        await client.call(
          'TerminateSession',
          sessionManager,
          `<sessionId>${escapeXml(sessionKey)}</sessionId>`,
          attempt.signal,
          () => withholdUnlessAllowed(attempt),
        )
        attempt.note(`terminated the session ${short(sessionKey)} at ${host}`)
      } catch (error) {
        if (!(error instanceof VcenterFault && error.kind === 'NotFound')) throw error
        attempt.note(`the session ${short(sessionKey)} was gone already`)
      }
    }

    async function terminateAll(info: SessionInfo, attempt: Attempt): Promise<void> {
      for (const key of keysOf(info)) await terminate(key, attempt)
      await terminateOthers(info, attempt)
    }

    async function terminateOthers(info: SessionInfo, attempt: Attempt): Promise<void> {
      const isMeant = othersOf(info)
      if (isMeant === null) return
      const ownKey = await client.ownKey(attempt.signal)
      for (const session of await listSessions(attempt.signal)) {
        if (isMeant(session) && session.key !== ownKey) await terminate(session.key, attempt)
      }
    }

    async function cancelTasks(starter: Starter, attempt: Attempt): Promise<void> {
      const sessions = await listSessions(attempt.signal)
      if (sessions.some((session) => sameUser(session.userName, starter.userName))) {
        attempt.note(`another session of ${starter.userName} is alive: its tasks are awaited, not canceled`)
        return
      }
      for (const task of await listTasks(starter, attempt.signal)) {
        if (!task.cancelable) continue
        const target = { type: 'Task', value: task.id }
        try {
          await client.call('CancelTask', target, '', attempt.signal, () => withholdUnlessAllowed(attempt))
          attempt.note(`canceled ${task.id} (${task.name})`)
        } catch (error) {
          if (!(error instanceof VcenterFault)) throw error
          attempt.note(`${task.id} (${task.name}) could not be canceled: ${error.kind}`)
        }
      }
    }

    async function logOutRest(id: string, attempt: Attempt): Promise<void> {
      const outcome = await rest.logOut(id, attempt.signal, () => withholdUnlessAllowed(attempt))
      attempt.note(outcome === 'ended' ? 'logged its REST session out' : 'its REST session was gone already')
    }

    /** Says what it adds to what the list shows; null where vCenter calls the session active. */
    async function askWhetherActive(
      key: string,
      info: SessionInfo,
      signal: AbortSignal,
    ): Promise<string | null> {
      const userName = starters.get(key)?.userName ?? info.userName
      if (userName === undefined) return ''
      const { sessionManager } = await client.content(signal)
      const args = `<sessionID>${escapeXml(key)}</sessionID><userName>${escapeXml(userName)}</userName>`
      try {
        const answer = childText(
          await client.call('SessionIsActive', sessionManager, args, signal),
          'returnval',
        )
        if (answer === 'true') return null
        if (answer === 'false') return ', and is not active'
        throw new VcenterFault('Answer', 'SessionIsActive was answered neither true nor false')
      } catch (error) {
        // The list is enough; an ESXi host knows no such question.
        if (!(error instanceof VcenterFault && ['NoPermission', 'NotImplemented'].includes(error.kind)))
          throw error
        return ` (SessionIsActive was refused: ${error.message})`
      }
    }

    async function observe(info: SessionInfo, signal: AbortSignal): Promise<Verification> {
      const sessions = await listSessions(signal)
      const keys = keysOf(info)
      const alive = sessions.find((session) => keys.includes(session.key))
      if (alive !== undefined) {
        return { state: 'not-fenced', reason: `${host} still lists the session ${short(alive.key)}` }
      }
      let active = ''
      for (const key of keys) {
        const word = await askWhetherActive(key, info, signal)
        if (word === null)
          return { state: 'not-fenced', reason: `${host} calls the session ${short(key)} active` }
        active = word
      }
      if (info.restSession !== undefined) {
        const seen = await rest.look(info.restSession, signal)
        if (seen === 'alive') return { state: 'not-fenced', reason: `its REST session at ${host} is alive` }
        if (seen === 'unknown')
          return { state: 'unknown', reason: `${host} does not say whether its REST session is alive` }
      }
      const isMeant = othersOf(info)
      if (isMeant === null) {
        const reason = `whose other sessions to look for is not known: give userName and clientAddress`
        return { state: 'unknown', reason }
      }
      const others = sessions.filter(isMeant)
      if (others.length > 0) {
        const reason = `${host} still lists ${others.length} more of that ${options.sessionsOf}`
        return { state: 'not-fenced', reason }
      }
      const alone = options.sessionsOf === 'key' ? '' : `, nor any other of its ${options.sessionsOf},`
      const gone = info.restSession === undefined ? '' : ', and its REST session is gone'
      const named =
        keys.length === 1 ? `the session ${short(keys[0] ?? '')}` : `none of its ${keys.length} sessions`
      const observed = `${named}${alone} is ${keys.length === 1 ? 'not ' : ''}among the ${sessions.length} that ${host} lists${active}${gone}`
      if (!options.awaitTasks && !options.cancelTasks) {
        return { state: 'fenced', evidence: { observed, request: 'RetrievePropertiesEx sessionList' } }
      }
      const known = startersOf(info)
      if (known.length === 0) {
        return {
          state: 'unknown',
          reason: `${observed}, but whose tasks to look for is not known: give userName`,
        }
      }
      const users = [...new Set(known.map(({ userName }) => userName))].join(', ')
      for (const starter of known) {
        const tasks = await listTasks(starter, signal)
        if (tasks.length === 0) continue
        const names = tasks.slice(0, 10).map((task) => `${task.id} (${task.name})`)
        return {
          state: 'not-fenced',
          reason: `${starter.userName} has unfinished tasks: ${names.join(', ')}`,
        }
      }
      return {
        state: 'fenced',
        evidence: {
          observed: `${observed}, and no task of ${users} is queued or running`,
          request: 'RetrievePropertiesEx sessionList, recentTask',
        },
      }
    }

    return {
      async fence(info, attempt) {
        const keys = keysOf(info)
        if (keys.includes(await client.ownKey(attempt.signal))) {
          throw new Error("the session is the fencer's own, and is never terminated")
        }
        for (const listed of await listSessions(attempt.signal)) {
          if (!keys.includes(listed.key)) continue
          if (starters.size >= REMEMBERED_MAX) starters.delete([...starters.keys()][0] ?? '')
          const { key, userName, address, loginTime } = listed
          starters.set(key, { userName, address, sinceMs: timeOf(loginTime) })
        }
        const isOwn = startersOf(info).some(({ userName }) => sameUser(userName, options.username))
        if (options.sessionsOf !== 'key' && isOwn)
          throw new Error("the session's user is the fencer's own: give the fencer an account of its own")
        // Each by itself: what fails at one must not keep the other.
        const results = await Promise.allSettled([
          terminateAll(info, attempt),
          ...(info.restSession === undefined ? [] : [logOutRest(info.restSession, attempt)]),
        ])
        for (const result of results) if (result.status === 'rejected') throw result.reason
        if (options.cancelTasks) for (const starter of startersOf(info)) await cancelTasks(starter, attempt)
      },

      async verify(info, attempt) {
        try {
          return await observe(info, attempt.signal)
        } catch (error) {
          if (!(error instanceof Error)) throw error
          return { state: 'unknown', reason: `${host} could not be asked: ${error.message}` }
        }
      },

      async monitor(context) {
        const { signal } = context
        const ownKey = await client.ownKey(signal)
        const own = (await listSessions(signal)).find((session) => session.key === ownKey)
        const held = await privilegesAtRoot(client, own?.userName ?? options.username, signal)
        if (held === null)
          return context.note(`${host} does not say which privileges ${options.username} has`)
        const wanted = [TERMINATE, ...(options.cancelTasks ? [CANCEL] : [])]
        const missing = wanted.filter((privilege) => !held.has(privilege))
        if (missing.length > 0)
          throw new Error(`${options.username} lacks the privilege ${missing.join(' and ')} at ${host}`)
        if (!held.has(VALIDATE))
          context.note(
            `${options.username} lacks the privilege ${VALIDATE}: fences go by the list of sessions alone`,
          )
      },

      async close() {
        await Promise.all([client.close(), rest.close()])
      },
    }
  },
})

/** Null where vCenter would not say. */
async function privilegesAtRoot(
  client: VcenterClient,
  userName: string,
  signal: AbortSignal,
): Promise<ReadonlySet<string> | null> {
  const { authorizationManager, rootFolder } = await client.content(signal)
  if (authorizationManager === null || rootFolder === null) return null
  const root = `<entities type="${rootFolder.type}">${escapeXml(rootFolder.value)}</entities>`
  const args = `${root}<userName>${escapeXml(userName)}</userName>`
  try {
    const answer = await client.call('FetchUserPrivilegeOnEntities', authorizationManager, args, signal)
    return new Set(descendants(answer, 'privileges').map(({ text }) => text))
  } catch (error) {
    if (!(error instanceof VcenterFault)) throw error
    return null
  }
}

function withholdUnlessAllowed(attempt: Attempt): void {
  if (!attempt.mayStrike()) throw new StrikeWithheld('nothing was sent: this attempt is over')
}

function short(key: string): string {
  return key.length > 12 ? `${key.slice(0, 12)}…` : key
}
