// What the policies decide alone: REST calls and a SOAP call of 4 KiB by the shipped packs, and calls among very many
// rules. Started by measure/check.ts as `node classify.ts SAMPLES`; it writes one line `RESULT […]` and ends.

import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { invariant } from '../../gateway/core/invariant.ts'
import { compilePolicy, formatPolicyFault, loadPack } from '../../gateway/policy/index.ts'
import { callHead, type Policy } from '../../gateway/spi/policy.ts'
import type { CheckFigures } from './measure/check.ts'
import { median } from './median.ts'

const CALLS = 20_000
/** Made anew each time, as what was seen before would be in some cache, and not so many that their bytes are in none any more. */
const CALLS_MADE_AT_ONCE = 250
/** For the compiler: after fewer it still works on what is measured. */
const SAMPLES_UNCOUNTED = 10
const REST_NS = 1_000
const SOAP_NS = 15_000
const RULE_COUNTS = [10, 100, 1_000, 10_000]
const HOT_RULES = 10

const sampleCount = Number(process.argv[2] ?? 3)

interface Call {
  readonly method: string
  readonly target: string
  readonly body: Buffer | null
}

interface Measurement {
  readonly title: string
  readonly targetNs: number | null
  readonly policy: Policy
  /** The rule that the calls have to be decided by; they are counted from 0. */
  readonly rule: (index: number) => string
  readonly call: (index: number) => Call
  readonly headers?: Readonly<Record<string, string>>
}

function measure({ title, targetNs, policy, rule, call, headers = {} }: Measurement): CheckFigures {
  const samples: number[] = []
  let next = 0
  for (let sample = -SAMPLES_UNCOUNTED; sample < sampleCount; sample++) {
    let milliseconds = 0
    for (let made = 0; made < CALLS; made += CALLS_MADE_AT_ONCE) {
      const first = next
      const calls = Array.from({ length: CALLS_MADE_AT_ONCE }, () => {
        const { method, target, body } = call(next++)
        return { head: callHead(method, target, headers), body }
      })
      // By the clock: the time on a processor is counted in ticks, and one is longer than all these calls together.
      const startMs = performance.now()
      for (const { head, body } of calls) policy.classify(head, body)
      milliseconds += performance.now() - startMs
      const [{ head, body } = { head: callHead('GET', '/'), body: null }] = calls
      const found = policy.classify(head, body)
      invariant(
        found.kind === 'call' && found.rule === rule(first),
        `${title}: ${found.kind === 'call' ? found.rule : found.refusal.detail}`,
      )
    }
    if (sample >= 0) samples.push((milliseconds * 1e6) / CALLS)
  }
  return {
    title,
    nanoseconds: median(samples),
    judged: targetNs !== null,
    ...(targetNs === null ? {} : { targetNs }),
  }
}

function shipped(name: string): Policy {
  const file = fileURLToPath(new URL(`../../policies/${name}.yaml`, import.meta.url))
  return policyOf(readFileSync(file, 'utf8'), file)
}

function policyOf(text: string, file: string): Policy {
  const pack = loadPack(text, file)
  invariant(pack.ok, pack.ok ? '' : pack.faults.map(formatPolicyFault).join('\n'))
  const compiled = compilePolicy({ pack: pack.value })
  invariant(compiled.ok, compiled.ok ? '' : compiled.faults.map(formatPolicyFault).join('\n'))
  return compiled.value
}

function manyRules(count: number): Policy {
  const rules = Array.from(
    { length: count },
    (_, i) =>
      `  - { id: r${i}, method: DELETE, path: "/api/kind-${i}/{thing}", effect: mutate, locks: "k/{thing|id}" }`,
  )
  return policyOf(
    `policy: many\ntitle: Many rules\ndialect: problem\ndefault_lock: many\nrules:\n${rules.join('\n')}`,
    'many.yaml',
  )
}

function uuidOf(i: number): string {
  const hex = (0x9e3779b1 * (i + 1)).toString(16).padStart(16, '0')
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(12, 15)}-8000-${String(i).padStart(12, '0')}`
}

const PROJECT = '0123456789abcdef0123456789abcdef'
const cinder = shipped('cinder')
const soapEnd = '</CustomizeVM_Task></soapenv:Body></soapenv:Envelope>'

/** A call with a specification of 4 KiB, as clients write them: short elements, few attributes. */
function soapCall(i: number): Call {
  const start =
    '<?xml version="1.0" encoding="UTF-8"?><soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"' +
    ' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><soapenv:Body><CustomizeVM_Task xmlns="urn:vim25">' +
    `<_this type="VirtualMachine">vm-${i}</_this>`
  const element = '<spec><key xsi:type="Text">identity</key><value>a value of some length</value></spec>'
  const room = 4_096 - start.length - soapEnd.length
  const filling = element.repeat(Math.floor(room / element.length))
  return { method: 'POST', target: '/sdk', body: Buffer.from(start + filling + soapEnd) }
}

const figures: readonly CheckFigures[] = [
  measure({
    title: 'REST: a read, by the pack for Cinder',
    targetNs: REST_NS,
    policy: cinder,
    rule: () => 'read',
    call: (i) => ({ method: 'GET', target: `/v3/${PROJECT}/volumes/${uuidOf(i)}`, body: null }),
  }),
  measure({
    title: 'REST: a deletion with its lock, by the pack for Cinder',
    targetNs: REST_NS,
    policy: cinder,
    rule: () => 'volume-delete',
    call: (i) => ({ method: 'DELETE', target: `/v3/${PROJECT}/volumes/${uuidOf(i)}`, body: null }),
  }),
  measure({
    title: 'SOAP: a call of 4 KiB with its lock, by the pack for vSphere',
    targetNs: SOAP_NS,
    policy: shipped('vsphere'),
    rule: () => 'vm-by-id',
    call: soapCall,
    headers: { 'content-type': 'text/xml; charset=utf-8' },
  }),
  measure({
    title: 'JSON-RPC: a call with its lock, by the pack for SolidFire',
    targetNs: null,
    policy: shipped('solidfire'),
    rule: () => 'volume-change',
    call: (i) => ({
      method: 'POST',
      target: '/json-rpc/8.0/',
      body: Buffer.from(
        `{"method":"ModifyVolume","params":{"volumeID":${i + 1},"access":"readOnly"},"id":${i}}`,
      ),
    }),
  }),
  measure({
    title: 'ZAPI: a call with its lock, by the pack for ONTAP',
    targetNs: null,
    policy: shipped('ontap'),
    rule: () => 'zapi-lun',
    call: (i) => ({
      method: 'POST',
      target: '/servlets/netapp.servlets.admin.XMLrequest_filer',
      body: Buffer.from(
        `<?xml version='1.0' encoding='UTF-8'?><netapp xmlns="http://www.netapp.com/filer/admin" version="1.150" vfiler="vs1"><lun-resize><path>/vol/pool/volume-${uuidOf(i)}</path><size>1073741824</size></lun-resize></netapp>`,
      ),
    }),
    headers: { 'content-type': 'text/xml' },
  }),
  ...RULE_COUNTS.flatMap((count) => {
    const policy = manyRules(count)
    // What is asked for in turn, and not again for long, is not in the processor's cache: that costs, whoever looks.
    return [...new Set([Math.min(count, HOT_RULES), count])].map((reach) => {
      const rule = (i: number) => (i % reach) * Math.floor(count / reach)
      const rules = `${count.toLocaleString('en')} rules`
      return measure({
        title: `REST: a deletion with its lock, ${reach === count ? `${rules} in turn` : `${reach} of ${rules}`}`,
        targetNs: reach === count && count > HOT_RULES ? null : REST_NS,
        policy,
        rule: (i) => `r${rule(i)}`,
        call: (i) => ({ method: 'DELETE', target: `/api/kind-${rule(i)}/${uuidOf(i)}`, body: null }),
      })
    })
  }),
]
process.stdout.write(`\nRESULT ${JSON.stringify(figures)}\n`)
