// A process with a gate that is wrong about itself: in the moment that its argument names, the ledger finds that out.
// Ends by itself with code 0 where nobody ends it before.

import { request } from 'node:http'
import { InvariantViolation } from '../../../gateway/core/invariant.ts'
import { startEchoBackend } from '../../support/echo-backend.ts'
import { startTestGateway } from '../../support/echo-backend-gateway.ts'

const moment = process.argv[2]
const backend = await startEchoBackend()
const gateway = await startTestGateway(backend.url)
const wrong = (): never => {
  throw new InvariantViolation('an entry that is not in the ledger')
}
gateway.gate.onEntry = (entry) => {
  if (moment === 'ended') entry.ended = wrong
  else entry.recheck = wrong
}
const call = request({ port: gateway.port, method: 'POST', headers: { 'fencing-token': '7' } })
call.on('response', (response) => response.resume())
call.on('error', () => undefined)
call.end()
setTimeout(() => process.exit(0), 2_000)
