// The rules that the model can be run without. Each has to break a promise, or the model does not show that it is needed.

export interface Mutant {
  /** Defined, it takes the rule away. */
  readonly define: string
  /** Of the configuration in which it is missed. */
  readonly in: readonly string[]
  readonly rule: string
  readonly breaks: 'I1' | 'I2' | 'I3' | 'I4' | 'I7' | 'I9'
}

const CRASH: readonly string[] = []
const LAPSE = ['LAPSE']
const TWICE = ['TWICE']
// Without a fault these show as well, and sooner.
const DOWNGRADE = ['DOWNGRADE', 'CALM']
const UPGRADE = ['UPGRADE', 'CALM']
const VOUCH = ['VOUCH', 'TWICE']

/** The rules without which the protocol was found not to hold when it was drawn up. */
export const FOUNDING_RULES: readonly Mutant[] = [
  { define: 'NO_QUIET_TIME', in: CRASH, rule: 'something ends an unknown call', breaks: 'I9' },
  {
    define: 'NO_REVISION_IN_RELEASE',
    in: TWICE,
    rule: 'a release goes by revision, not by name',
    breaks: 'I9',
  },
  {
    define: 'NO_OPEN_BEFORE_ADMISSION',
    in: CRASH,
    rule: 'a free lock is opened in the record before anyone is admitted',
    breaks: 'I2',
  },
  {
    define: 'NO_LEVEL_TRIGGER',
    in: CRASH,
    rule: 'whoever looks and finds no key seals, not only who saw it go',
    breaks: 'I9',
  },
  {
    define: 'NO_FENCE_IN_SEAL',
    in: CRASH,
    rule: 'the fence record is written in the transaction of the seal',
    breaks: 'I3',
  },
  {
    define: 'NO_CANARY',
    in: CRASH,
    rule: 'the canary tells an expiry from a release, not a later question',
    breaks: 'I7',
  },
  { define: 'NO_KEPT_RECORD', in: CRASH, rule: 'the record of a gone gateway is kept', breaks: 'I2' },
  {
    define: 'NO_STRANGER',
    in: CRASH,
    rule: 'a new incarnation does not speak for an older one',
    breaks: 'I2',
  },
  {
    define: 'NO_REVISION_IN_WATERMARK',
    in: CRASH,
    rule: 'a watermark counts by the revision that it reports, not by when it was written',
    breaks: 'I2',
  },
  {
    define: 'NO_RECHECK',
    in: LAPSE,
    rule: 'grant and lease are checked again before the first byte',
    breaks: 'I1',
  },
  {
    define: 'NO_LIST_AFTER_SEAL',
    in: CRASH,
    rule: 'gateways are listed by a read later than the seal',
    breaks: 'I2',
  },
  {
    define: 'NO_WATCH_IN_LEASE',
    in: CRASH,
    rule: 'a gateway whose watch stands still loses its lease',
    breaks: 'I9',
  },
  {
    define: 'NO_REGISTRATION_FIRST',
    in: CRASH,
    rule: 'who joins registers before he loads',
    breaks: 'I2',
  },
  {
    define: 'NO_NEWS',
    in: CRASH,
    rule: 'a token that the view does not know yet is not stale',
    breaks: 'I9',
  },
  {
    define: 'NO_JOB',
    in: CRASH,
    rule: 'a call that names a job, or whose answer is lost, has not ended',
    breaks: 'I2',
  },
  {
    define: 'NO_DRAIN_FOR_SAME_SESSION',
    in: TWICE,
    rule: 'a grant is drained although the same session takes the lock again',
    breaks: 'I2',
  },
  {
    define: 'NO_SEAL_BEFORE_PROOF',
    in: CRASH,
    rule: 'a proof counts only if it was observed after all had reported the seal',
    breaks: 'I2',
  },
]

export const OTHER_RULES: readonly Mutant[] = [
  { define: 'NO_COVER_IN_PROOF', in: CRASH, rule: 'a proof has to cover late arrivals', breaks: 'I2' },
  { define: 'NO_BARRIER', in: CRASH, rule: 'the other gateways are waited for', breaks: 'I2' },
  {
    define: 'NO_SELF_SEALING',
    in: LAPSE,
    rule: 'a gateway admits nothing past its own count of its lease',
    breaks: 'I1',
  },
  { define: 'NO_FENCE_BEFORE_OPEN', in: CRASH, rule: 'a due fence is waited for', breaks: 'I3' },
  {
    define: 'NO_CANARY_BEFORE_OPEN',
    in: CRASH,
    rule: 'a foreign lease has a canary before its grant opens',
    breaks: 'I7',
  },
  { define: 'NO_LEDGER_IN_EXIT', in: CRASH, rule: 'a clean exit has nothing open', breaks: 'I2' },
  {
    define: 'NO_LEDGER_IN_SEAL',
    in: CRASH,
    rule: 'a seal says of who writes it only that it has drained where it has',
    breaks: 'I2',
  },
  {
    define: 'NO_SEAL_HERE',
    in: CRASH,
    rule: 'who releases admits nothing from before he writes the seal',
    breaks: 'I1',
  },
  { define: 'NO_QUEUE', in: CRASH, rule: 'first come, first served', breaks: 'I9' },
  {
    define: 'NO_SWAP',
    in: CRASH,
    rule: 'every change of the record is a compare-and-swap',
    breaks: 'I9',
  },
  {
    define: 'NO_WRITER_FIRST',
    in: DOWNGRADE,
    rule: 'a writer who waits is not overtaken by later readers',
    breaks: 'I9',
  },
  {
    define: 'NO_FORMER_DRAIN',
    in: DOWNGRADE,
    rule: 'readers come in only after the exclusive calls of a downgraded grant',
    breaks: 'I2',
  },
  {
    define: 'NO_FORMER_BARRIER',
    in: DOWNGRADE,
    rule: 'a downgrade is drained at the other gateways too',
    breaks: 'I2',
  },
  {
    define: 'NO_FORMER_REFUSAL',
    in: DOWNGRADE,
    rule: 'a downgraded grant admits no exclusive call any more',
    breaks: 'I1',
  },
  { define: 'NO_UPGRADE_ALONE', in: UPGRADE, rule: 'an upgrade waits for the other readers', breaks: 'I2' },
  {
    define: 'NO_UPGRADE_QUEUE',
    in: ['WRITER', ...UPGRADE],
    rule: 'an upgrade overtakes no writer who waits',
    breaks: 'I9',
  },
  {
    define: 'NO_UPGRADE_DRAIN',
    in: UPGRADE,
    rule: 'an upgrade opens only after the calls under the token that it replaces',
    breaks: 'I2',
  },
  {
    define: 'NO_KEY_IN_UPGRADE',
    in: UPGRADE,
    rule: 'an upgrade begins only where both keys stand',
    breaks: 'I7',
  },
  {
    define: 'NO_FENCE_IN_CHANGE',
    in: UPGRADE,
    rule: 'a session that expires in the middle of an upgrade owes a fence',
    breaks: 'I4',
  },
  {
    define: 'NO_UNKNOWN_IN_WORD',
    in: VOUCH,
    rule: 'an operator’s word names only gateways whose calls are all unknown',
    breaks: 'I2',
  },
  {
    define: 'NO_SEAL_BEFORE_WORD',
    in: VOUCH,
    rule: 'an operator’s word names only gateways that have reported the seal, or are gone',
    breaks: 'I2',
  },
]
