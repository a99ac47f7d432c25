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
]
