// Plants bugs in a copy of the shipped code, one at a time, and looks whether the simulation finds each: a simulation that
// finds nothing proves nothing before this has passed. `node test/sim/mutants.ts [SEEDS [WORDS OF A NAME]]`.

import { spawnSync } from 'node:child_process'
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { argv, execPath, exit, stdout } from 'node:process'
import { fileURLToPath } from 'node:url'

interface Mutant {
  readonly name: string
  readonly file: string
  readonly from: string
  readonly to: string
}

const MUTANTS: readonly Mutant[] = [
  {
    name: 'sealed grants are admitted',
    file: 'gateway/locking/gate.ts',
    from: 'if (grant !== null && !grant.sealed) {',
    to: 'if (grant !== null) {',
  },
  {
    name: 'the canary is not looked at: every end is a release',
    file: 'gateway/locking/foreign-keys.ts',
    from: "canaryStands ? (meant?.keyDeleted ?? 'released') : (meant?.leaseEnded ?? 'expired')",
    to: "'released'",
  },
  {
    name: 'the canary is not looked at: every end is an expiry',
    file: 'gateway/locking/foreign-keys.ts',
    from: "canaryStands ? (meant?.keyDeleted ?? 'released') : (meant?.leaseEnded ?? 'expired')",
    to: "'expired'",
  },
  {
    name: 'the seal is written without its fence record',
    file: 'gateway/locking/conductor.ts',
    from: 'writes.push({ put: layout.fence(fence.id), value: fenceRecords.encode(fence) })',
    to: '',
  },
  {
    name: 'a closed fence is not waited for',
    file: 'gateway/core/handover.ts',
    from: "if (fence.state === 'open') return { kind: 'fencing', grant, detail: fence.detail }",
    to: '',
  },
  {
    name: 'calls that are not answered are not waited for',
    file: 'gateway/core/handover.ts',
    from: "if (drain.state === 'draining') return { kind: 'draining', grant, detail: drain.detail }",
    to: "if (drain.state === 'draining') return null",
  },
  {
    name: 'the quiet time is not waited for',
    file: 'gateway/core/handover.ts',
    from: 'if (drain.quietOver) return null',
    to: 'return null',
  },
  {
    name: 'other gateways are not waited for',
    file: 'gateway/locking/barrier.ts',
    from: 'facts = combine(facts, theirs)',
    to: 'void theirs',
  },
  {
    name: 'a gateway that is gone is taken for drained',
    file: 'gateway/locking/barrier.ts',
    from: 'if (grant.createRevision > gateway.modRevision)',
    to: 'if (grant.createRevision > 0)',
  },
  {
    name: 'a gateway without a watermark is taken for drained',
    file: 'gateway/locking/barrier.ts',
    from: 'if (watermark === undefined)',
    to: "if (watermark === undefined) return { state: 'ended' }\n    if (watermark === undefined)",
  },
  {
    name: 'a watermark counts whatever revision it reports',
    file: 'gateway/locking/barrier.ts',
    from: 'if (watermark.sealed < sealRevision)',
    to: 'if (watermark.sealed < 0)',
  },
  {
    name: 'the watermark names no open calls',
    file: 'gateway/locking/barrier.ts',
    from: "if (drain.state === 'draining') open.push([lock.name, grant.createRevision, 'draining'])",
    to: "if (drain.state === 'draining') void 0",
  },
  {
    name: 'a joining gateway loads before it registers',
    file: 'gateway/locking/locking.ts',
    from: 'await incarnation.register()\n    await this.#replica.reload()',
    to: 'await this.#replica.reload()\n    await incarnation.register()',
  },
  {
    name: 'the lease is counted from the answer, and without margin',
    file: 'gateway/locking/incarnation.ts',
    from: 'else this.#validUntilMs = sentAtMs + state.ttlMs - margin(state.ttlMs)',
    to: 'else this.#validUntilMs = this.#options.clock.monotonicMs() + 0 * sentAtMs + state.ttlMs',
  },
  {
    name: 'the gateway does not look at its lease',
    file: 'gateway/locking/locking.ts',
    from: 'if (!this.#incarnation.valid(',
    to: 'if (Number.NaN > 0 && !this.#incarnation.valid(',
  },
  {
    name: 'recheck always says yes',
    file: 'gateway/locking/ledger.ts',
    from: '    const sealed = this.grants.find((grant) => grant.sealed)\n    if (sealed !== undefined)',
    to: '    const sealed = this.grants.find((grant) => grant.sealed)\n    if (sealed === undefined || sealed !== undefined) return null\n    if (sealed !== undefined)',
  },
  {
    name: 'a lost answer counts as the end of the call',
    file: 'gateway/locking/ledger.ts',
    from: "    this.#state = { kind: 'unknown', reason, sinceMs: this.#ledger.nowMs() }\n    this.#ledger.lost(this, reason)",
    to: '    this.#state = ENDED\n    this.#ledger.leave(this)',
  },
  {
    name: 'a job counts as ended once it is named',
    file: 'gateway/locking/ledger.ts',
    from: "    this.#state = { kind: 'job', id, probe }",
    to: '    void [id, probe]\n    this.ended()',
  },
  {
    name: 'a clean exit is said with calls open',
    file: 'gateway/locking/locking.ts',
    from: 'const clean = this.#ledger.open === 0',
    to: 'const clean = true',
  },
  {
    name: 'a closing gateway forgets new handovers',
    file: 'gateway/locking/conductor.ts',
    from: 'if (lock.live.some((grant) => grant.sealed || grant.narrowRevision > 0 ||',
    to: 'if (this.#stopped) return\n    if (lock.live.some((grant) => grant.sealed || grant.narrowRevision > 0 ||',
  },
  {
    name: 'no canary is asked for before a grant opens',
    file: 'gateway/locking/waiter-keys.ts',
    from: "return view.canaries.has(session) ? null : 'its lease has no canary yet'",
    to: 'return null',
  },
  {
    name: 'the opening does not compare the key',
    file: 'gateway/locking/conductor.ts',
    from: '...step.open.map((waiter) => ({ key: waiter.key, createRevision: waiter.createRevision })),',
    to: '',
  },
  {
    name: 'proofs count whenever they were observed, and without covering late arrivals',
    file: 'gateway/core/handover.ts',
    from: "if (proof.proves.includes('flushed')) return true",
    to: 'if (proof.proves.length >= 0) return true',
  },
  {
    name: 'a downgrade lets others in before its exclusive calls have drained',
    file: 'gateway/core/handover.ts',
    from: "? { ...grant, mode: 'shared', formerMode: 'exclusive' }",
    to: "? { ...grant, mode: 'shared' }",
  },
  {
    name: 'a downgrade is not drained at other gateways',
    file: 'gateway/locking/barrier.ts',
    from: 'return this.#overAll(grant, narrowRevision, this.#options.ledger.formerDrain(grant))',
    to: 'return this.#options.ledger.formerDrain(grant)',
  },
  {
    name: 'an upgrade opens beside the shared calls',
    file: 'gateway/core/handover.ts',
    from: 'if (staying.some((other) => other !== grant && excludes(other, grant))) continue',
    to: '',
  },
]

const root = fileURLToPath(new URL('../..', import.meta.url))
const seedsMax = Number(argv[2] ?? 1_000)
const CHUNK = 50

function tryOut(mutant: Mutant): { readonly verdict: string; readonly found: boolean } {
  const folder = mkdtempSync(join(tmpdir(), 'fencegate-mutant-'))
  try {
    for (const part of ['gateway', 'test/sim', 'package.json'])
      cpSync(join(root, part), join(folder, part), { recursive: true })
    symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'))
    const file = join(folder, mutant.file)
    const text = readFileSync(file, 'utf8')
    if (text.split(mutant.from).length !== 2) return { verdict: 'no longer fits the code', found: false }
    writeFileSync(
      file,
      text.replace(mutant.from, () => mutant.to),
    )
    for (let first = 1; first <= seedsMax; first += CHUNK) {
      const run = spawnSync(execPath, ['test/sim/replay.ts', String(first), String(CHUNK)], {
        cwd: folder,
        encoding: 'utf8',
        timeout: 60_000,
      })
      if (run.status === 0) continue
      const seed = /^seed (\d+)/m.exec(run.stdout)?.[1]
      const promises = [...new Set([...run.stdout.matchAll(/^ {2}(I\d|crash) at/gm)].map(([, what]) => what))]
      if (seed === undefined) return { verdict: `does not run: ${run.stderr.slice(0, 200)}`, found: false }
      return { verdict: `${promises.join(', ')}, first at seed ${seed}`, found: true }
    }
    return { verdict: `not found in ${seedsMax} seeds`, found: false }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

let missed = 0
const chosen = MUTANTS.filter(({ name }) => name.includes(argv[3] ?? ''))
for (const mutant of chosen) {
  const { verdict, found } = tryOut(mutant)
  if (!found) missed++
  stdout.write(`${found ? 'found ' : 'MISSED'}  ${mutant.name.padEnd(82)} ${verdict}\n`)
}
stdout.write(`${chosen.length - missed} of ${chosen.length} found\n`)
exit(missed > 0 ? 1 : 0)
