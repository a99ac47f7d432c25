// Plants bugs in a copy of the shipped code, one at a time, and looks whether chaos finds each within its time. By hand:
// `node test/chaos/mutants.ts [PATTERN OF NAMES]`.

import { spawn } from 'node:child_process'
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { argv, execPath, exit, stdout } from 'node:process'
import { fileURLToPath } from 'node:url'
import type { FaultKind } from './scenario.ts'

interface Mutant {
  readonly name: string
  readonly file: string
  readonly from: string
  readonly to: string
  /** That bring it to light. */
  readonly faults: readonly FaultKind[]
}

const TRIES = 2
const SECONDS = 60
const MUTANTS: readonly Mutant[] = [
  {
    name: 'other gateways are not waited for',
    file: 'gateway/locking/barrier.ts',
    from: 'facts = combine(facts, theirs)',
    to: 'void theirs',
    faults: ['gateway-stop', 'holder-stop'],
  },
  {
    name: 'a watermark counts whatever revision it reports',
    file: 'gateway/locking/barrier.ts',
    from: 'if (watermark.sealed < sealRevision)',
    to: 'if (watermark.sealed < 0)',
    faults: ['gateway-stop', 'cut-gateway-etcd', 'slow-links'],
  },
  {
    name: 'the lock is opened before the calls have ended',
    file: 'gateway/core/handover.ts',
    from: "if (drain.state === 'draining') return { kind: 'draining', grant, detail: drain.detail }",
    to: "if (drain.state === 'draining') return null",
    faults: ['holder-stop'],
  },
  {
    name: 'the quiet time is not waited for',
    file: 'gateway/core/handover.ts',
    from: 'if (drain.quietOver) return null',
    to: 'return null',
    faults: ['backend-loses'],
  },
  {
    name: 'a lost answer counts as the end of the call',
    file: 'gateway/locking/ledger.ts',
    from: "    this.#state = { kind: 'unknown', reason, sinceMs: this.#ledger.nowMs() }\n    this.#ledger.lost(this, reason)",
    to: '    void reason\n    this.#state = ENDED\n    this.#ledger.leave(this)',
    faults: ['backend-loses'],
  },
  {
    name: 'a job counts as ended once it is named',
    file: 'gateway/locking/ledger.ts',
    from: "    this.#state = { kind: 'job', id, probe }",
    to: '    void [id, probe]\n    this.ended()',
    faults: ['holder-stop'],
  },
  {
    name: 'sealed grants are admitted',
    file: 'gateway/locking/gate.ts',
    from: 'if (grant !== null && !grant.sealed) {',
    to: 'if (grant !== null) {',
    faults: ['holder-stop'],
  },
  {
    name: 'a gateway admits past its lease, on a watch that stands still',
    file: 'gateway/locking/locking.ts',
    from: 'if (!this.#incarnation.valid(',
    to: 'if (Number.NaN > 0 && !this.#incarnation.valid(',
    faults: ['cut-gateway-etcd', 'cut-gateway-etcd-one-way'],
  },
  {
    name: 'the seal is written without its fence record',
    file: 'gateway/locking/conductor.ts',
    from: 'writes.push({ put: layout.fence(fence.id), value: fenceRecords.encode(fence) })',
    to: '',
    faults: ['holder-stop', 'holder-kill'],
  },
  {
    name: 'a fence is not waited for',
    file: 'gateway/core/handover.ts',
    from: "if (fence.state === 'open') return { kind: 'fencing', grant, detail: fence.detail }",
    to: '',
    faults: ['holder-kill', 'holder-stop', 'cut-holder-gateways'],
  },
  {
    name: 'every end is a release',
    file: 'gateway/locking/foreign-keys.ts',
    from: "canaryStands ? (meant?.keyDeleted ?? 'released') : (meant?.leaseEnded ?? 'expired')",
    to: "'released'",
    faults: ['holder-stop', 'holder-kill'],
  },
  {
    name: 'every end is an expiry',
    file: 'gateway/locking/foreign-keys.ts',
    from: "canaryStands ? (meant?.keyDeleted ?? 'released') : (meant?.leaseEnded ?? 'expired')",
    to: "'expired'",
    faults: [],
  },
]

const root = fileURLToPath(new URL('../..', import.meta.url))

interface Tried {
  readonly code: number | null
  readonly output: string
}

function run(folder: string, seed: number, faults: readonly FaultKind[]): Promise<Tried> {
  const child = spawn(
    execPath,
    [
      'test/chaos/run.ts',
      '--hasty',
      '--seconds',
      String(SECONDS),
      '--seed',
      String(seed),
      '--faults',
      faults.join(','),
    ],
    { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] },
  )
  let output = ''
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (piece: Buffer) => {
      output += piece.toString()
    })
  return new Promise((resolve) => child.once('exit', (code) => resolve({ code, output })))
}

async function tryOut(mutant: Mutant): Promise<{ readonly verdict: string; readonly found: boolean }> {
  const folder = mkdtempSync(join(tmpdir(), 'fencegate-mutant-'))
  try {
    for (const part of [
      'gateway',
      'fencers',
      'policies',
      'test/sim',
      'test/chaos',
      'test/support',
      'package.json',
    ])
      cpSync(join(root, part), join(folder, part), { recursive: true })
    symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'))
    const file = join(folder, mutant.file)
    const text = readFileSync(file, 'utf8')
    if (text.split(mutant.from).length !== 2) return { verdict: 'no longer fits the code', found: false }
    writeFileSync(
      file,
      text.replace(mutant.from, () => mutant.to),
    )
    const beganAtMs = performance.now()
    for (let seed = 1; seed <= TRIES; seed++) {
      const { code, output } = await run(folder, seed, mutant.faults)
      const logs = /^The logs are in (.+)\.$/m.exec(output)?.[1]
      if (logs !== undefined) rmSync(logs, { recursive: true, force: true })
      if (code === 0) continue
      const promises = [...new Set([...output.matchAll(/^ {2}(I\d|crash): /gm)].map(([, what]) => what))]
      if (promises.length === 0) return { verdict: `does not run: ${output.slice(-300)}`, found: false }
      const seconds = Math.round((performance.now() - beganAtMs) / 1_000)
      const first = /^ {2}(?:I\d|crash): (.+)$/m.exec(output)?.[1] ?? ''
      return { verdict: `${promises.join(', ')}, after ${seconds} s: ${first}`, found: true }
    }
    return { verdict: `not found in ${TRIES} runs of ${SECONDS} s`, found: false }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

let missed = 0
const chosen = MUTANTS.filter(({ name }) => new RegExp(argv[2] ?? '').test(name))
for (const mutant of chosen) {
  const { verdict, found } = await tryOut(mutant)
  if (!found) missed++
  stdout.write(`${found ? 'found ' : 'MISSED'}  ${mutant.name.padEnd(66)} ${verdict}\n`)
}
stdout.write(`${chosen.length - missed} of ${chosen.length} found\n`)
exit(missed > 0 ? 1 : 0)
