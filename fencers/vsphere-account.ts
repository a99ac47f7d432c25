// Takes from the holder's vSphere account every right to change anything, and gives it back on `unfence`.
// It must never touch the account that it works under, nor forget what the account was allowed before.

import { z } from 'zod'
import { type Attempt, defineFencer, StrikeWithheld, type Verification } from '../gateway/spi/fencer.ts'
import { createVcenterClient, type Reference, retrieve, VcenterFault } from './vsphere/client.ts'
import { vcenterTls, vcenterUrl } from './vsphere/endpoint.ts'
import { child, childText, escapeXml, type XmlElement } from './xml/document.ts'

const AccountOptions = z.strictObject({
  url: vcenterUrl,
  username: z
    .string()
    .min(1)
    .describe(
      "an account with the privileges Authorization.ModifyPermissions and ModifyRoles, and no holder's",
    ),
  password: z.string().min(1).describe('of that account'),
  tls: vcenterTls,
})
type AccountOptions = z.infer<typeof AccountOptions>

const AccountInfo = z.object({
  userName: z
    .string()
    .min(1)
    .max(256)
    .describe('as vCenter writes it (EXAMPLE.COM\\name); an account that no other holder uses'),
})
type AccountInfo = z.infer<typeof AccountInfo>

interface Permission {
  readonly entity: Reference
  readonly principal: string
  readonly isGroup: boolean
  readonly roleId: number
  readonly propagates: boolean
}

interface World {
  readonly root: Reference
  readonly manager: Reference
  /** Id → name. */
  readonly roles: ReadonlyMap<number, string>
  readonly permissions: readonly Permission[]
}

/**
 * The role that takes the rights away says in its name what it replaces, so that vCenter itself remembers what `unfence` has to
 * put back, in the same write that took it away, whichever gateway asks.
 */
const ROLE_NAME = 'fencegate fenced, was '
const HAD_NONE = 'none'
/** What every role of one's own has. None of them changes anything. */
const HARMLESS = new Set(['System.Anonymous', 'System.View', 'System.Read'])
const ENTITIES_MAX = 2_000
const ROUNDS_MAX = 8

/**
 * What it proves. vCenter checks the rights of every call when it comes, under every session of the account, also one that
 * is opened later: so `blocks`. Tasks that are under way go on; `vsphere-session` awaits those. An account is no incarnation:
 * the next session of the same holder is blocked as well, until somebody has called `unfence`.
 */
export default defineFencer<AccountOptions, AccountInfo>({
  id: 'vsphere-account',
  summary: "takes every right to change anything from the holder's vSphere account",
  accessOnly: true,
  options: AccountOptions,
  fenceInfo: AccountInfo,
  example: {
    options: {
      url: 'https://vcenter.example/sdk',
      username: 'fencer@vsphere.local',
      password: 'file:/run/secrets/vcenter',
    },
    fenceInfo: { userName: 'VSPHERE.LOCAL\\nova-3' },
  },
  proves: () => ['blocks'],
  target: (info) => info.userName.toLowerCase(),

  create(options) {
    const client = createVcenterClient(options)
    const host = new URL(options.url).host

    async function look(signal: AbortSignal): Promise<World> {
      const { rootFolder: root, authorizationManager: manager } = await client.content(signal)
      if (root === null || manager === null) throw new VcenterFault('Permissions', 'it keeps none')
      const spec =
        '<propSet><type>AuthorizationManager</type><pathSet>roleList</pathSet></propSet>' +
        `<objectSet><obj type="AuthorizationManager">${escapeXml(manager.value)}</obj></objectSet>`
      const found = await retrieve(client, spec, signal)
      const roles = found.flatMap(({ value }) =>
        value.children.map((role) => [numberIn(role, 'roleId'), childText(role, 'name') ?? ''] as const),
      )
      const all = await client.call('RetrieveAllPermissions', manager, '', signal)
      const permissions = all.children.map(permissionOf)
      // There is always somebody who may do everything at the root: a list without is not the list.
      if (!permissions.some(({ entity }) => entity.value === root.value) || roles.length === 0)
        throw new VcenterFault(
          'Permissions',
          'the list of permissions does not hold those of the root folder',
        )
      return { root, manager, roles: new Map(roles), permissions }
    }

    /** Where the account can still change something. Rights differ only where permissions are written. */
    async function rightsLeft(
      world: World,
      info: AccountInfo,
      signal: AbortSignal,
    ): Promise<readonly Reference[]> {
      const entities = new Map(
        [world.root, ...world.permissions.map(({ entity }) => entity)].map((entity) => [
          entity.value,
          entity,
        ]),
      )
      if (entities.size > ENTITIES_MAX)
        throw new Error(`permissions are written at more than ${ENTITIES_MAX} places`)
      const args = `${[...entities.values()].map((entity) => referenceXml('entities', entity)).join('')}<userName>${escapeXml(info.userName)}</userName>`
      const answer = await client.call('FetchUserPrivilegeOnEntities', world.manager, args, signal)
      const seen = new Set<string>()
      const left: Reference[] = []
      for (const result of answer.children) {
        const entity = entities.get(childText(result, 'entity') ?? '')
        if (entity === undefined) continue
        seen.add(entity.value)
        const privileges = result.children.filter(({ name }) => name === 'privileges').map(({ text }) => text)
        if (privileges.some((privilege) => !HARMLESS.has(privilege))) left.push(entity)
      }
      if (seen.size < entities.size)
        throw new VcenterFault('Privileges', `of ${entities.size} places, ${seen.size} were answered for`)
      return left
    }

    async function roleNamed(world: World, name: string, attempt: Attempt): Promise<number> {
      const known = [...world.roles].find(([, existing]) => existing === name)
      if (known !== undefined) return known[0]
      const args = `<name>${escapeXml(name)}</name>`
      try {
        const answer = await client.call(
          'AddAuthorizationRole',
          world.manager,
          args,
          attempt.signal,
          allowed(attempt),
        )
        const id = numberIn(answer, 'returnval')
        if (id !== 0) return id
      } catch (error) {
        if (!(error instanceof VcenterFault && error.kind === 'AlreadyExists')) throw error
      }
      const listed = [...(await look(attempt.signal)).roles].find(([, existing]) => existing === name)
      if (listed === undefined) throw new VcenterFault('Role', `the role "${name}" was not made`)
      return listed[0]
    }

    async function take(world: World, entity: Reference, info: AccountInfo, attempt: Attempt): Promise<void> {
      const had = ofAccount(world, info).find((permission) => permission.entity.value === entity.value)
      if (had !== undefined && isOurs(world, had)) {
        throw new Error(
          `${info.userName} has rights at ${entity.value} in spite of the role that takes them: mend the role`,
        )
      }
      const was = had === undefined ? HAD_NONE : `${had.roleId} ${had.propagates ? 'below' : 'here'}`
      const roleId = await roleNamed(world, ROLE_NAME + was, attempt)
      await write(
        world,
        { entity, principal: had?.principal ?? info.userName, isGroup: false, roleId, propagates: true },
        attempt,
      )
      attempt.note(
        `${info.userName} at ${entity.value}: ${was === HAD_NONE ? 'no permission' : `role ${was}`} → "${ROLE_NAME}${was}"`,
      )
    }

    async function write(world: World, permission: Permission, attempt: Attempt): Promise<void> {
      const { entity, principal, isGroup, roleId, propagates } = permission
      const args =
        `${referenceXml('entity', entity)}<permission><principal>${escapeXml(principal)}</principal>` +
        `<group>${isGroup}</group><roleId>${roleId}</roleId><propagate>${propagates}</propagate></permission>`
      await client.call('SetEntityPermissions', world.manager, args, attempt.signal, allowed(attempt))
    }

    return {
      async fence(info, attempt) {
        if (isSame(options.username, info.userName))
          throw new Error("the account is the fencer's own, and is left alone")
        // A permission below overrides those above it, and one of the user those of his groups at the same place: so taking
        // the rights at one place may leave others to be taken.
        for (let round = 0; round < ROUNDS_MAX; round++) {
          const world = await look(attempt.signal)
          const left = await rightsLeft(world, info, attempt.signal)
          if (left.length === 0) return
          for (const entity of left) await take(await look(attempt.signal), entity, info, attempt)
        }
        throw new Error(`${info.userName} has rights left after ${ROUNDS_MAX} rounds of taking them`)
      },

      async verify(info, attempt): Promise<Verification> {
        try {
          const world = await look(attempt.signal)
          const left = await rightsLeft(world, info, attempt.signal)
          if (left.length > 0) {
            const where = left.slice(0, 5).map(({ value }) => value)
            return {
              state: 'not-fenced',
              reason: `${info.userName} may change things at ${where.join(', ')}`,
            }
          }
          // Somebody unknown has no rights either: a slip in the name must not pass for a fence.
          if (ofAccount(world, info).length === 0)
            return {
              state: 'unknown',
              reason: `${host} has no permission of ${info.userName}: is the name right?`,
            }
          return {
            state: 'fenced',
            evidence: {
              observed: `${info.userName} may change nothing at any place with permissions at ${host}`,
              request: 'RetrieveAllPermissions, FetchUserPrivilegeOnEntities',
            },
          }
        } catch (error) {
          if (!(error instanceof Error)) throw error
          return { state: 'unknown', reason: `${host} could not be asked: ${error.message}` }
        }
      },

      async unfence(info, attempt) {
        const world = await look(attempt.signal)
        for (const permission of ofAccount(world, info)) {
          const was = world.roles.get(permission.roleId)?.split(ROLE_NAME)[1]
          if (was === undefined) continue
          const [roleId = '', reach] = was.split(' ')
          if (was === HAD_NONE) {
            const args = `${referenceXml('entity', permission.entity)}<user>${escapeXml(permission.principal)}</user><isGroup>false</isGroup>`
            await client.call('RemoveEntityPermission', world.manager, args, attempt.signal, allowed(attempt))
          } else {
            await write(
              world,
              { ...permission, roleId: Number(roleId), propagates: reach === 'below' },
              attempt,
            )
          }
          attempt.note(`${info.userName} at ${permission.entity.value}: "${ROLE_NAME}${was}" was undone`)
        }
      },

      async monitor({ signal }) {
        const world = await look(signal)
        await rightsLeft(world, { userName: options.username }, signal)
      },

      close: () => client.close(),
    }
  },
})

function allowed(attempt: Attempt): () => void {
  return () => {
    if (!attempt.mayStrike()) throw new StrikeWithheld('nothing was sent: this attempt is over')
  }
}

function ofAccount(world: World, info: AccountInfo): readonly Permission[] {
  return world.permissions.filter(({ isGroup, principal }) => !isGroup && isSame(principal, info.userName))
}

function isOurs(world: World, permission: Permission): boolean {
  return world.roles.get(permission.roleId)?.startsWith(ROLE_NAME) === true
}

function isSame(a: string, b: string): boolean {
  return a.toLowerCase() === b.toLowerCase()
}

function permissionOf(element: XmlElement): Permission {
  const entity = child(element, 'entity')
  return {
    entity: { type: entity?.attributes['type'] ?? '', value: entity?.text ?? '' },
    principal: childText(element, 'principal') ?? '',
    isGroup: childText(element, 'group') === 'true',
    roleId: numberIn(element, 'roleId'),
    propagates: childText(element, 'propagate') === 'true',
  }
}

function referenceXml(name: string, { type, value }: Reference): string {
  return `<${name} type="${escapeXml(type)}">${escapeXml(value)}</${name}>`
}

function numberIn(element: XmlElement, name: string): number {
  return Number(childText(element, name) ?? 0)
}
