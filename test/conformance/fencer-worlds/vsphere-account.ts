// An account in the vCenter simulator, alive while it may change something.

import { createSoapClient, ROOT_FOLDER } from '../../support/soap-client.ts'
import {
  slowDown,
  startVcenterSimulator,
  type VcenterSimulator,
  vcenterSimulatorUnavailable,
} from '../../support/vcenter-simulator.ts'
import { ALREADY_GONE, SECRET, SLOW, type WorldMaker } from './world.ts'

const MANAGER = { type: 'AuthorizationManager', value: 'AuthorizationManager' }
let vcenter: VcenterSimulator | null = null
let entered = 0

export default {
  failures: {
    unreachable: { test: 'of %s that babbles, floods, or is not there shows nothing, and strikes nobody' },
    slow: SLOW,
    'wrong credentials': {
      test: 'wrong credentials, and a vCenter that hangs, are failures without the password in them',
    },
    'partial success': { test: 'rights that come back meanwhile are seen' },
    'success that is not true': {
      test: 'a success that is reported and not true, or an answer that was lost, is looked into',
    },
    'already gone': ALREADY_GONE,
    'new incarnation': {
      never: 'an account is no incarnation: whoever logs in under it is meant, until unfence',
    },
    'garbage output': {
      test: 'of %s that babbles, floods, or is not there shows nothing, and strikes nobody',
    },
    'huge output': { test: 'of %s that babbles, floods, or is not there shows nothing, and strikes nobody' },
    hanging: {
      test: 'wrong credentials, and a vCenter that hangs, are failures without the password in them',
    },
  },
  unavailable: vcenterSimulatorUnavailable,
  async prepare() {
    const holders = Object.fromEntries(Array.from({ length: 20 }, (_, i) => [`nova-${i}`, 'n']))
    vcenter = await startVcenterSimulator({ users: { fencer: SECRET, ...holders } })
  },
  async enter() {
    if (vcenter === null) throw new Error('no vCenter')
    const { url } = vcenter
    const userName = `nova-${entered++}`
    const client = createSoapClient({ url })
    await client.login(userName, 'n')
    return {
      options: { url, username: 'fencer', password: SECRET },
      fenceInfo: { userName },
      isAlive: async () => {
        const answer = await client.call(
          'CreateFolder',
          ROOT_FOLDER,
          `<name>of-${userName}-${Date.now()}</name>`,
        )
        return answer.fault !== 'NoPermission'
      },
      slow: () => slowDown(vcenter, 'SetEntityPermissions'),
      destroy: async () => {
        const readOnly =
          `<entity type="Folder">${ROOT_FOLDER.value}</entity><permission><principal>${userName}</principal>` +
          '<group>false</group><roleId>-2</roleId><propagate>true</propagate></permission>'
        await client.call('SetEntityPermissions', MANAGER, readOnly)
      },
      close: () => client.close(),
    }
  },
  leave: async () => vcenter?.stop(),
} satisfies WorldMaker
