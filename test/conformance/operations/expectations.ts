// What the lists of operations cannot say of themselves, and a reader of each API has to know.

export interface Expectations {
  /** The part of a path that every call may leave away. */
  readonly project: string
  /** GETs that change something. */
  readonly changingReads: readonly string[]
  /** What is no GET and reads. */
  readonly reads: readonly string[]
  /** What only logs in or hands out tokens. */
  readonly sessions: readonly string[]
  /** Answered with 202, and done when it is answered: by rule. */
  readonly settled: readonly string[]
  /** Last collection in a path → the lock of the object named behind it. */
  readonly objects: Readonly<Record<string, string>>
  /** Operations whose lock stands in the body, or whose rule asks for one. */
  readonly bodies: Readonly<Record<string, unknown>>
}

export const OBJECT = '5aa1f3d2-0000-4000-8000-000000000001'
const cinder = '/v3/{project_id}'
const nova = '/v2.1'
const ironic = '/v1'
const node = `${ironic}/nodes/{node_ident}`
const serverAction = `${nova}/servers/{server_id}/action`

export const EXPECTATIONS: Readonly<Record<string, Expectations>> = {
  cinder: {
    project: '/{project_id}',
    changingReads: [
      `${cinder}/qos-specs/{qos_id}/associate`,
      `${cinder}/qos-specs/{qos_id}/disassociate`,
      `${cinder}/qos-specs/{qos_id}/disassociate_all`,
    ],
    reads: [
      `${cinder}/volumes/{volume_id}/action os-show_image_metadata`,
      `${cinder}/groups/{id}/action list_replication_targets`,
      `${cinder}/os-services/get-log`,
    ],
    sessions: [],
    settled: [
      'administration',
      'group-reset-status',
      'group-snapshot',
      'group-type',
      'group-type-part',
      'qos',
      'qos-disassociate-all',
      'snapshot-action',
      'transfer-accept',
      'transfer-create',
      'transfer-delete',
      'type',
      'type-part',
      'volume-action',
    ],
    objects: {
      attachments: 'cinder/attachment',
      backups: 'cinder/backup',
      'default-types': 'cinder/default-type',
      group_snapshots: 'cinder/group-snapshot',
      group_types: 'cinder/group-type',
      groups: 'cinder/group',
      messages: 'cinder/message',
      'os-quota-class-sets': 'cinder/quota-class',
      'os-quota-sets': 'cinder/quota',
      'os-volume-transfer': 'cinder/transfer',
      'qos-specs': 'cinder/qos',
      snapshots: 'cinder/snapshot',
      types: 'cinder/type',
      'volume-transfers': 'cinder/transfer',
      volumes: 'cinder/volume',
    },
    bodies: {
      [`POST ${cinder}/volumes`]: { volume: { size: 1 } },
      [`POST ${cinder}/snapshots`]: { snapshot: { volume_id: OBJECT } },
      [`POST ${cinder}/manageable_snapshots`]: { snapshot: { volume_id: OBJECT } },
      [`POST ${cinder}/os-snapshot-manage`]: { snapshot: { volume_id: OBJECT } },
      [`POST ${cinder}/backups`]: { backup: { volume_id: OBJECT } },
      [`POST ${cinder}/backups/{backup_id}/restore`]: { restore: {} },
      [`POST ${cinder}/attachments`]: { attachment: { volume_uuid: OBJECT } },
      [`POST ${cinder}/volume-transfers`]: { transfer: { volume_id: OBJECT } },
      [`POST ${cinder}/os-volume-transfer`]: { transfer: { volume_id: OBJECT } },
      [`POST ${cinder}/group_snapshots`]: { group_snapshot: { group_id: OBJECT } },
      [`POST ${cinder}/groups/action create-from-src`]: { 'create-from-src': { source_group_id: OBJECT } },
      [`POST ${cinder}/volumes/{volume_id}/action revert`]: { revert: { snapshot_id: OBJECT } },
      [`POST ${cinder}/volumes/{volume_id}/action os-migrate_volume_completion`]: {
        'os-migrate_volume_completion': { new_volume: OBJECT },
      },
    },
  },
  nova: {
    project: '',
    changingReads: [
      `${nova}/os-hosts/{host_name}/reboot`,
      `${nova}/os-hosts/{host_name}/shutdown`,
      `${nova}/os-hosts/{host_name}/startup`,
    ],
    reads: [`${serverAction} os-getConsoleOutput`],
    sessions: [
      `POST ${serverAction} os-getRDPConsole`,
      `POST ${serverAction} os-getSPICEConsole`,
      `POST ${serverAction} os-getSerialConsole`,
      `POST ${serverAction} os-getVNCConsole`,
      `POST ${nova}/servers/{server_id}/consoles`,
      `POST ${nova}/servers/{server_id}/remote-consoles`,
    ],
    settled: ['administration-of-one', 'quota', 'server-action', 'server-part'],
    objects: {
      images: 'nova/image',
      'os-aggregates': 'nova/aggregate',
      'os-quota-sets': 'nova/quota',
      'os-server-groups': 'nova/server-group',
      'os-volumes_boot': 'nova/server',
      servers: 'nova/server',
    },
    bodies: {
      [`POST ${nova}/servers/{server_id}/os-volume_attachments`]: { volumeAttachment: { volumeId: OBJECT } },
      [`PUT ${nova}/servers/{server_id}/os-volume_attachments/{volume_id}`]: {
        volumeAttachment: { volumeId: OBJECT },
      },
      [`POST ${nova}/os-assisted-volume-snapshots`]: { snapshot: { volume_id: OBJECT } },
      [`POST ${nova}/os-snapshots`]: { snapshot: { volume_id: OBJECT } },
      [`POST ${nova}/os-server-external-events`]: { events: [{ server_uuid: OBJECT }] },
    },
  },
  ironic: {
    project: '',
    changingReads: [`${node}/vendor_passthru`, `${ironic}/drivers/{driver_name}/vendor_passthru`],
    reads: [],
    sessions: [`GET ${ironic}/lookup`],
    settled: ['node-part'],
    objects: {
      allocations: 'ironic/allocation',
      chassis: 'ironic/chassis',
      connectors: 'ironic/volume-connector',
      deploy_templates: 'ironic/deploy-template',
      heartbeat: 'ironic/node',
      inspection_rules: 'ironic/inspection-rule',
      nodes: 'ironic/node',
      portgroups: 'ironic/portgroup',
      ports: 'ironic/port',
      runbooks: 'ironic/runbook',
      targets: 'ironic/volume-target',
    },
    bodies: {
      [`POST ${ironic}/ports`]: { node_uuid: OBJECT },
      [`POST ${ironic}/portgroups`]: { node_uuid: OBJECT },
      [`POST ${ironic}/volume/connectors`]: { node_uuid: OBJECT },
      [`POST ${ironic}/volume/targets`]: { node_uuid: OBJECT },
    },
  },
  redfish: {
    project: '',
    changingReads: [],
    reads: [],
    sessions: [
      'POST /redfish/v1/SessionService/Sessions',
      'DELETE /redfish/v1/SessionService/Sessions/{SessionId}',
    ],
    settled: [],
    objects: {},
    bodies: {
      'POST /redfish/v1/SessionService/Sessions': { UserName: 'a', Password: 'b' },
      'POST /redfish/v1/Systems/{ComputerSystemId}/Actions/ComputerSystem.Reset': { ResetType: 'ForceOff' },
    },
  },
}
