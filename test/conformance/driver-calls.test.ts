// Holds the packs of arrays to the calls that Cinder's drivers make: driver-calls/*.txt list them, out of the drivers'
// source, and none may be left to the default rule, or be taken for a read that is none.

import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { invariant } from '../../gateway/core/invariant.ts'
import { compilePolicy, exampleCall, loadPolicies } from '../../gateway/policy/index.ts'
import { isOver } from '../../gateway/proxy/http-jobs.ts'

const folder = join(import.meta.dirname, 'driver-calls')
const { packs } = loadPolicies(join(import.meta.dirname, '../../policies'))

type Body = Parameters<typeof exampleCall>[0]['body']

interface Expectations {
  /** The pack, where several lists belong to one. */
  readonly pack?: string
  /** What a call of a list of methods sends: its arguments, by method. */
  readonly methodBody?: (method: string) => Pick<Parameters<typeof exampleCall>[0], 'body' | 'zapi'>
  /** Calls whose lock is the root's, as they name nothing that has one of its own. */
  readonly rootLocks?: RegExp
  /** How many calls the list has: an extraction that finds fewer has gone blind. */
  readonly count: number
  readonly sessions: RegExp
  readonly reads: RegExp
  /** Bodies of calls that the pack has to look into, by the end of the path. */
  readonly bodies: Readonly<Record<string, Body>>
}

/** Whatever a method may look at, in one. */
const ZAPI_ARGUMENTS =
  '<path>/vol/v/a</path><new-path>/vol/v/b</new-path><volume>v</volume><volume-name>v</volume-name>' +
  '<new-volume-name>w</new-volume-name><file>a</file><from-path>/vol/v/a</from-path><to-path>/vol/v/b</to-path>' +
  '<source-path>a</source-path><destination-path>b</destination-path>' +
  '<source-paths><sfod-operation-path>v/a</sfod-operation-path></source-paths>' +
  '<destination-paths><sfod-operation-path>w/a</sfod-operation-path></destination-paths>' +
  '<volumes><volume-name>v</volume-name></volumes><paths><lun-path-pair><source-path>/vol/v/a</source-path>' +
  '<destination-path>/vol/w/a</destination-path></lun-path-pair></paths>'

const NONE = /^$/
const SOURCES = { deviceNameListSource: [{ name: '0009A' }] }

const EXPECTED: Readonly<Record<string, Expectations>> = {
  hitachi: {
    count: 53,
    sessions: /^POST \S+\/sessions$/,
    reads: /^GET /,
    bodies: {
      '/ldevs': { poolId: 1 },
      '/luns': { ldevId: 7 },
      '/snapshots': { pvolLdevId: 7, svolLdevId: 8 },
      '/journals': { ldevIds: [7] },
    },
  },
  'hpe-msa': {
    count: 36,
    sessions: /^GET \/api\/login\//,
    reads: /^GET \/api\/show\//,
    bodies: {},
  },
  oceanstor: {
    count: 143,
    sessions: /\/sessions$/,
    reads: /^GET /,
    bodies: {
      '/sessions': { username: 'a' },
      '/{device_id}/lun': { NAME: 'a' },
      '/lun/expand': { ID: '5' },
      '/LUN_MIGRATION': { PARENTID: '5', TARGETLUNID: '6' },
      '/{device_id}/snapshot': { NAME: 'a', PARENTID: '5' },
      '/snapshot/activate': { SNAPSHOTLIST: ['7'] },
      '/snapshot/stop': { ID: '7' },
      '/luncopy': {
        SOURCELUN: 'INVALID;5;INVALID;INVALID;INVALID',
        TARGETLUN: 'INVALID;6;INVALID;INVALID;INVALID',
      },
      '/clonepair/relation': { sourceID: '5', targetID: '6' },
      _ASSOCIATE: { ID: '1', ASSOCIATEOBJTYPE: '11', ASSOCIATEOBJID: '5' },
      '/associate': { ID: '1', ASSOCIATEOBJTYPE: '11', ASSOCIATEOBJID: '5' },
      '/cachepartition': { ID: '1', ASSOCIATEOBJTYPE: 11, ASSOCIATEOBJID: '5' },
      'PUT /deviceManager/rest/{device_id}/mappingview': {
        ID: '1',
        ASSOCIATEOBJTYPE: 11,
        ASSOCIATEOBJID: '5',
      },
    },
  },
  ontap: {
    count: 82,
    sessions: /\/application-logs$/,
    reads: /^GET /,
    bodies: {
      '/storage/luns': { name: '/vol/v/a' },
      '/storage/namespaces': { name: '/vol/v/a' },
      '/storage/luns/': { name: '/vol/v/b' },
      '/storage/luns/{lun_uuid}': { 'space.size': 1 },
      '/storage/volumes/': { name: 'v' },
      '/storage/volumes': { 'nas.path': '/v' },
      '/storage/qos/policies/': { name: 'q' },
      '/san/lun-maps': { 'lun.name': '/vol/v/a' },
      '/subsystem-maps': { 'namespace.name': '/vol/v/a' },
      '/file/clone': { source_path: 'a', destination_path: 'b' },
      '/file/copy': { files_to_copy: [{ source: { path: 'v/a' }, destination: { path: 'w/a' } }] },
      '/files/{orig_file_name}': { path: 'b' },
      '/files/{file_path}': { 'qos_policy.name': 'q' },
    },
  },
  'ontap-zapi': {
    pack: 'ontap',
    count: 96,
    sessions: / ems-autosupport-log$/,
    reads:
      /-(?:get|get-iter|list-info|list-info-iter|list-directory-iter|get-auth|get-instances|map-info|split-status|get-geometry)$| system-get-/,
    bodies: {},
    methodBody: (method) => ({ zapi: `<${method}>${ZAPI_ARGUMENTS}</${method}>` }),
  },
  powerflex: {
    count: 40,
    sessions: /^GET \/api\/login$/,
    reads: /^GET |\/action\/query[A-Za-z]+$|\/metrics\/query$/,
    bodies: {
      '/types/Volume/instances': { name: 'a' },
      '/types/Host/instances': { nqn: 'nqn.a' },
      '/types/ReplicationPair/instances': { sourceVolumeId: 'a1' },
      '/snapshotVolumes': { snapshotDefs: [{ volumeId: 'a1' }] },
      '/createSnapshot': { snapshotDefs: [{ volumeId: 'a1' }] },
      '/createThinClone': { snapshotDefs: [{ volumeId: 'a1' }] },
      '/overwriteVolumeContent': { srcVolumeId: 'a2' },
      '/removeVolume': { removeMode: 'ONLY_ME' },
    },
  },
  powermax: {
    count: 72,
    sessions: /^DELETE \S+\/Iterator\//,
    reads: /^GET |^POST \S+\/metrics$/,
    bodies: {
      'POST /univmax/restapi/private/{u4p_version}/replication/symmetrix/{array}/snapshot/{snap_name}':
        SOURCES,
      'DELETE /univmax/restapi/private/{u4p_version}/replication/symmetrix/{array}/snapshot/{snap_name}':
        SOURCES,
      'PUT /univmax/restapi/private/{u4p_version}/replication/symmetrix/{array}/snapshot/{snap_name}': {
        ...SOURCES,
        deviceNameListTarget: [{ name: '0009B' }],
      },
      '/host': { hostId: 'a' },
      '/maskingview': {
        maskingViewId: 'a',
        storageGroupSelection: { useExistingStorageGroupParam: { storageGroupId: 'a' } },
      },
      '/symmetrix/{array}/storagegroup': { storageGroupId: 'a' },
      '/storagegroup/{storagegroup}': {
        editStorageGroupActionParam: { removeVolumeParam: { volumeId: ['0009A'] } },
      },
      '/rdf_group': { rdfgNumber: 1 },
      '/rdf_group/{rdf_group_no}/volume': { localDeviceListCriteriaParam: { localDeviceList: ['0009A'] } },
      '/symmetrix/{array}': { editSymmetrixActionParam: { tagManagementParam: {} } },
    },
  },
  powerstore: {
    count: 42,
    sessions: NONE,
    reads: /^GET |\/metrics\/generate$/,
    bodies: {
      'POST /api/rest/volume': { name: 'a' },
      'POST /api/rest/volume_group': { name: 'a' },
      '/clone': { name: 'a' },
      '/restore': { from_snap_id: 'a2' },
      _members: { volume_ids: ['a1'] },
      'PATCH /api/rest/volume/{volume_id}': { size: 1 },
      'PATCH /api/rest/volume/{provider_id}': { qos_performance_policy_id: 'a' },
    },
  },
  solidfire: {
    count: 34,
    sessions: NONE,
    reads: / (?:Get|List)[A-Za-z]+$/,
    bodies: {},
    methodBody: (method) => ({
      body: { method, params: { name: 'a', volumeID: 7, snapshotID: 3, groupSnapshotID: 4, volumes: [7] } },
    }),
  },
}

/** What stands for a placeholder where `a1` would not be one of its values. */
const UUID = ['00000000-0000-4000-8000-000000000001']
const SAMPLES: Readonly<Record<string, readonly string[]>> = {
  lun_uuid: UUID,
  lun_type: ['11', '27'],
  ldev_id: ['7'],
  pvol_ldev_id: ['7'],
  mu_number: ['3'],
  namespace_name: ['/vol/v/a'],
  action: ['failover', 'restore'],
  size: ['10GiB'],
  added_size: ['10GiB'],
  lun: ['1'],
  device_id: ['0009A'],
  local_device_id: ['0009A'],
  rdf_group_no: ['1'],
  rdf_group_num: ['1'],
}

function filled(call: string): readonly string[] {
  const placeholder = /\{(\w+)\}/.exec(call)
  if (placeholder === null) return [call]
  const [whole, name = ''] = placeholder
  // A LUN is named by its path.
  const isPath = name === 'name' && /\/(?:luns|namespaces)\/?\?/.test(call)
  return (isPath ? ['/vol/v/a'] : (SAMPLES[name] ?? ['a1'])).flatMap((value) =>
    filled(call.replace(whole, value)),
  )
}

/** What stands in a query of the list as the client writes it, in the one spelling of the gateway. */
function spelled(target: string): string {
  return target.replaceAll('[', '%5B').replaceAll(']', '%5D')
}

/** Of lines `METHOD path method? | versions | files and functions`, the calls. */
function callsIn(text: string): readonly string[] {
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'))
  return lines.map((line) => {
    const [call = '', ...origin] = line.split(' | ')
    invariant(
      /^[A-Z]+ \/\S*(?: [A-Za-z][\w-]*)?$/.test(call) && origin.length === 2,
      `a line is broken: ${line}`,
    )
    return call
  })
}

const lists = readdirSync(folder)
  .filter((file) => file.endsWith('.txt'))
  .map((file) => [file.replace('.txt', ''), callsIn(readFileSync(join(folder, file), 'utf8'))] as const)

it('finds a list for every pack that claims one', () => {
  expect(lists.map(([name]) => name).toSorted()).toEqual(Object.keys(EXPECTED).toSorted())
})

describe.each(lists)('the pack %s', (name, calls) => {
  const expected = EXPECTED[name]
  invariant(expected !== undefined, `the test knows nothing about ${name}`)
  const pack = packs.get(expected.pack ?? name)
  invariant(pack !== undefined, `there is no pack ${name}`)
  const compiled = compilePolicy({ pack })
  invariant(compiled.ok, 'the pack compiles')
  const policy = compiled.value

  it('knows all the calls of the list', () => {
    expect(calls).toHaveLength(expected.count)
    expect(new Set(calls).size).toBe(expected.count)
  })

  it.each(calls)('has a rule for %s, of the right effect', (call) => {
    const ending = Object.keys(expected.bodies).find(
      (end) => !call.startsWith('GET ') && call.replace(/\?.*/, '').endsWith(end),
    )
    const wanted = expected.sessions.test(call) ? 'session' : expected.reads.test(call) ? 'read' : 'mutate'
    for (const one of filled(call)) {
      const [verb = '', target = '', method] = one.split(' ')
      const body =
        method === undefined
          ? ending === undefined
            ? {}
            : { body: expected.bodies[ending] }
          : expected.methodBody?.(method)
      const { head, body: bytes } = exampleCall({ call: `${verb} ${target}`, ...body, expect: {} })
      const found = policy.classify(head, policy.bodyBytesNeeded(head) > 0 ? bytes : null)
      expect(found, one).toMatchObject({ kind: 'call', effect: wanted })
      invariant(found.kind === 'call', 'the line above')
      expect(found.rule, one).not.toMatch(/^(?:default|(?:.*-)?other)$/)
      const locks = found.locks.map((lock) => lock.name)
      if (wanted === 'mutate' && expected.rootLocks?.test(call) !== true)
        expect(locks, one).not.toContain(pack.source.variables['root'])
      else expect(locks, one).toEqual([])
    }
  })

  it('forwards the paths of the list as they are, but for two slashes where the pack says that they are one', () => {
    const merges = pack.source.empty_segments === 'merge'
    for (const one of calls.flatMap(filled)) {
      const [verb = '', target = ''] = one.split(' ')
      const { head } = exampleCall({ call: `${verb} ${target}`, expect: {} })
      const found = policy.explain(head, null).classification
      if (found.kind === 'call')
        expect(found.target).toBe(spelled(merges ? target.replace('//', '/') : target))
    }
  })
})

const JOBS = [
  {
    name: 'hitachi',
    call: 'DELETE /ConfigurationManager/v1/objects/storages/1/ldevs/7',
    answer: '{"jobId":62}',
    runs: [
      '{}',
      '{"status":null}',
      '{"status":"Initializing"}',
      '{"status":"Running"}',
      '{"state":"Started"}',
    ],
    over: ['{"status":"Completed","state":"Failed"}', '{"status":"Completed","state":"Succeeded"}'],
  },
  {
    name: 'ontap',
    call: 'DELETE /api/storage/luns?name=/vol/v/a',
    answer: '{"job":{"uuid":"00000000-0000-4000-8000-000000000001"}}',
    runs: ['{}', '{"state":"queued"}', '{"state":"running"}', '{"state":"paused"}', '{"error":{"code":"4"}}'],
    over: ['{"state":"success"}', '{"state":"failure"}'],
  },
  {
    name: 'powerstore',
    call: 'DELETE /api/rest/volume/a1',
    answer: '{"id":"j1"}',
    runs: ['[]', '{}', '[{"state":null}]'],
    over: ['[{"state":"COMPLETED"}]', '[{"state":"FAILED"}]', '[{"state":"UNRECOVERABLE_FAILED"}]'],
  },
  {
    name: 'powermax',
    call: 'PUT /univmax/restapi/92/sloprovisioning/symmetrix/1/volume/0009A',
    answer: '{"jobId":"j1"}',
    runs: ['{}', '{"status":null}', '{"status":"CREATED"}', '{"status":"RUNNING"}', '{"status":"validated"}'],
    over: ['{"status":"SUCCEEDED"}', '{"status":"FAILED"}', '{"status":"ABORTED"}'],
  },
] as const

it.each(JOBS)(
  'a job of $name is over only in a state that is a last one',
  ({ name, call, answer, runs, over }) => {
    const pack = packs.get(name)
    invariant(pack !== undefined, 'there is such a pack')
    const compiled = compilePolicy({ pack })
    invariant(compiled.ok, 'the pack compiles')
    const found = compiled.value.classify(exampleCall({ call, expect: {} }).head, null)
    invariant(found.kind === 'call' && found.job !== null, 'the call may start a job')
    const read = found.job.read(202, Buffer.from(answer))
    invariant(read.kind === 'job' && read.probe.kind === 'http', 'the answer names one')
    const { probe } = read
    expect(probe.terminalStatuses).toEqual([])
    expect(runs.filter((body) => isOver(probe, body))).toEqual([])
    expect(over.filter((body) => isOver(probe, body))).toEqual(over)
  },
)
