/*
 * One lock, three holders, two gateways and what one of them becomes after its only fault, over one store.
 * docs/protocol.md, "The model", says what each part stands for and which part of the code it was read from.
 *
 * -DSHARED       readers are the paused and the orderly holder; the foreign one, and the orderly one's second grant, write
 * -DTWICE        in place of the foreign holder, the orderly one takes the lock a second time in the same session
 * -DLAPSE        the fault is a lease that a gateway outlives, in place of a crash
 * -DUPGRADE, -DDOWNGRADE   modes that change: modes.pml
 * -DVOUCH        an operator's word in place of the quiet time: vouching.pml
 * -DCALM         no fault at all
 * Other defines take one rule away each: mutants.ts
 */

/* Grants, each taken at most once. */
#define PAUSED 0
#define ORDERLY 1
#define THIRD 2
#define GRANTS 3

/* Instances of gateways: two processes, and the incarnation that one of them comes back as. */
#define FIRST 0
#define JOINER 1
#define REBORN 2

/* Two bits for each grant. */
#define GET(word, g) (((word) >> (2 * (g))) & 3)
#define PUT(word, g, value) word = ((word) & ~(3 << (2 * (g)))) | ((value) << (2 * (g)))
#define ALL(F, x) (F(x, 0) && F(x, 1) && F(x, 2))
#define ALL2(F, x, y) (F(x, y, 0) && F(x, y, 1) && F(x, y, 2))

/* A grant in the lock record, and its waiter key. */
#define OUTSIDE 0
#define OPEN 1
#define SEALED 2
#define CLOSED 3
#define NONE 0
#define THERE 1
#define GONE 2

/* What a watermark says of a grant; it only ever rises. */
#define UNREPORTED 0
#define DRAINING 1
#define UNKNOWN_OPEN 2
#define DRAINED 3

/* The call that is followed through its life. */
#define NO_CALL 0
#define UNSENT 1    /* in the ledger; no byte has gone out */
#define OUT 2       /* may act at the backend; its answer, or the end of its job, is awaited */
#define UNKNOWN 3   /* its answer is lost; may act, may not even have arrived */
#define LOOSE 4     /* only without a rule: may act, and no ledger knows of it */

/* A gateway instance. */
#define ABSENT 0
#define REGISTERED 1
#define VALID 2     /* serves, and its own count of its lease runs */
#define LAPSED 3    /* serves, but its own count is over: admits nothing, and does not know yet that the lease is gone */
#define OUSTED 4    /* has learnt that its lease is gone; its process goes on with the calls that it has */
#define DEAD 5
#define DRIVES(i) (life[i] == VALID || life[i] == LAPSED)

/* The record of a gateway instance in the store. */
#define NO_RECORD 0
#define SERVING 1
#define MARKED_GONE 2

/* The fence of a session; RUN_BY + instance: claimed by it. */
#define NO_FENCE 0
#define DUE 1
#define RUN_BY 2
#define FENCED 5

#if defined(UPGRADE) || defined(DOWNGRADE)
#define CHANGING_MODES
#endif
/* In place of the foreign holder: a grant that is given back through a gateway, or goes with a session of ours. */
#if defined(TWICE) || defined(CHANGING_MODES)
#define NOBODY_FOREIGN
#endif

/* ---- the store ---- */
byte record;                /* of the lock: OUTSIDE, OPEN, SEALED, CLOSED for each grant */
byte keys;                  /* waiter keys: NONE, THERE, GONE for each grant */
byte token[GRANTS];         /* order of the keys' creation; 0: none yet */
byte tokens;
byte pausedFence;
bit pausedProof;            /* the closed fence holds a proof that covers unknown calls, observed after all had sealed */
#ifndef NOBODY_FOREIGN
bit foreignLease = 1;
bit foreignCanary;
byte foreignFence;
#endif
byte gateway[3];            /* records: NO_RECORD, SERVING, MARKED_GONE; the watermark's lease lives while SERVING */
byte watermark[3];          /* as last written: what it says for each grant */

/* ---- the gateways ---- */
byte life[3];
byte viewRecord[3], viewKeys[3];
#ifndef NOBODY_FOREIGN
bit inDoubt[3];             /* loaded when the foreign key and its canary were gone already */
#endif
#ifdef CALM
bit faultUsed = 1;
#else
bit faultUsed;
#endif

/* ---- the call, and what only the observer knows ---- */
byte callState, callGrant, callAt;
#ifdef NOBODY_FOREIGN
bit thirdAsked;             /* the third grant was given back by its holder */
#else
bit foreignReleased;        /* the foreign key was deleted by its holder, not with the lease */
#endif

#if defined(DOWNGRADE)
#define IS_SHARED(g) ((g) == PAUSED)
#elif defined(WRITER)
#define IS_SHARED(g) ((g) == ORDERLY)
#elif defined(SHARED) || defined(UPGRADE)
#define IS_SHARED(g) ((g) != THIRD)
#else
#define IS_SHARED(g) 0
#endif
#define CONFLICT(a, b) ((a) != (b) && !(IS_SHARED(a) && IS_SHARED(b)))
#define NEWER(a, b) (token[a] > token[b] && CONFLICT(a, b))

/* ---- the promises ---- */
#if defined(NO_SEAL_BEFORE_PROOF) || defined(NO_COVER_IN_PROOF)
#define CAN_ACT (callState >= OUT)
#else
#define CAN_ACT (callState >= OUT && !(callGrant == PAUSED && pausedProof))
#endif
#define IS_OPENED(g) (GET(record, g) != OUTSIDE && !IS_NOT_OPEN_YET(record, g))
#define NO_NEWER_OPENED(g, o) (!(NEWER(o, g) && IS_OPENED(o)))
/* Stronger than the promise: from the moment at which a newer grant is open, for it may be admitted at once. */
#define I1(g) ALL(NO_NEWER_OPENED, g)
#define SPARED_OR(g, o) (SPARES_CALL(o) || NO_NEWER_OPENED(g, o))
#define I1_OF_CALL ALL(SPARED_OR, callGrant)
#define I2(g) (!(CAN_ACT && NEWER(g, callGrant) && !SPARES_CALL(g)))
#ifdef CHANGING_MODES
/* Here he gives back. */
#define PAUSED_EXPIRED 0
#else
#define PAUSED_EXPIRED (GET(keys, PAUSED) == GONE && IS_OPENED(PAUSED))
#endif
#ifdef NOBODY_FOREIGN
#define I3(g) ((!(PAUSED_EXPIRED && NEWER(g, PAUSED)) || pausedFence == FENCED) && !CHANGER_HOLDS_BACK(g))
#else
#define FOREIGN_EXPIRED (GET(keys, THIRD) == GONE && !foreignReleased && IS_OPENED(THIRD))
#define I3(g) \
  ((!(PAUSED_EXPIRED && NEWER(g, PAUSED)) || pausedFence == FENCED) && \
   (!(FOREIGN_EXPIRED && NEWER(g, THIRD)) || foreignFence == FENCED))
#endif
#define NOT_OVERTAKEN(w, o) (!(NEWER(w, o) && GET(keys, o) == THERE && GET(record, o) == OUTSIDE && HAS_CLAIM_IN(record, o)))

/* ---- what a gateway sees ---- */
#define SEEN(i, g) GET(viewRecord[i], g)
#define SEEN_KEY(i, g) GET(viewKeys[i], g)
#define SEEN_HELD(i, g) (SEEN(i, g) == OPEN && SEEN_KEY(i, g) == THERE)
#define SEEN_OPEN(i, g) (SEEN_HELD(i, g) && !IS_NOT_OPEN_YET(viewRecord[i], g))
#define SEEN_ENDING(i, g) (SEEN(i, g) == OPEN && SEEN_KEY(i, g) == GONE)
#define SEEN_QUEUED(i, g) (SEEN(i, g) == OUTSIDE && SEEN_KEY(i, g) == THERE)

/* Compare-and-swap on the record's mod revision, which is 0 for every record that is not there. */
#define IS_EMPTY(word) ((((word) ^ ((word) >> 1)) & 21) == 0)
#ifdef NO_SWAP
#define SWAPS(i) 1
#define FROM_VIEW(i) record = viewRecord[i];
#else
#define SWAPS(i) (viewRecord[i] == record || (IS_EMPTY(viewRecord[i]) && IS_EMPTY(record)))
#define FROM_VIEW(i)
#endif

/* ---- drain ---- */
#define OWN_DRAINING(i, g) (callAt == (i) && IS_UNDER(g) && (callState == UNSENT || callState == OUT))
#define OWN_UNKNOWN(i, g) (callAt == (i) && IS_UNDER(g) && callState == UNKNOWN)
#define NOTHING_OPEN(i) (callState == NO_CALL || callState == LOOSE || callAt != (i))

#define SAYS(k, g) GET(watermark[k], g)
#ifdef NO_LIST_AFTER_SEAL
byte listed[3] = 7;
#define IS_HEARD(i, k) (listed[i] & (1 << (k)))
#elif defined(NO_BARRIER)
#define IS_HEARD(i, k) 0
#else
#define IS_HEARD(i, k) 1
#endif
#define OTHER_DRAINING(k, g) (gateway[k] == SERVING && SAYS(k, g) <= DRAINING)
#define OTHER_UNKNOWN(k, g) (gateway[k] != NO_RECORD && SAYS(k, g) != DRAINED)
#define IS_DRAINING(i, k, g) ((k) == (i) -> OWN_DRAINING(i, g) : IS_HEARD(i, k) && OTHER_DRAINING(k, g))
#define IS_UNKNOWN(i, k, g) (((k) == (i) -> OWN_UNKNOWN(i, g) : IS_HEARD(i, k) && OTHER_UNKNOWN(k, g)) && !IS_VOUCHED(k, g))
#define COVERED(g) ((g) == PAUSED && pausedFence == FENCED && pausedProof)
#if defined(NO_FENCE_IN_SEAL)
byte owesFence;
/* Nothing tells a fence that is not written yet from one that is not due. */
#define PAUSED_FENCE_OVER(g) ((g) != PAUSED || pausedFence == NO_FENCE || pausedFence == FENCED)
#elif defined(NO_FENCE_BEFORE_OPEN) || defined(CHANGING_MODES)
#define PAUSED_FENCE_OVER(g) 1
#else
#define PAUSED_FENCE_OVER(g) ((g) != PAUSED || pausedFence == FENCED)
#endif
#ifdef NOBODY_FOREIGN
#define FENCE_OVER(g) (PAUSED_FENCE_OVER(g) && CHANGER_FENCE_OVER(g))
#else
#define FENCE_OVER(g) (PAUSED_FENCE_OVER(g) && ((g) != THIRD || foreignFence == NO_FENCE || foreignFence == FENCED))
#endif
#define NONE_DRAINING(i, g) (!IS_DRAINING(i, 0, g) && !IS_DRAINING(i, 1, g) && !IS_DRAINING(i, 2, g))
#define NONE_UNKNOWN(i, g) (!IS_UNKNOWN(i, 0, g) && !IS_UNKNOWN(i, 1, g) && !IS_UNKNOWN(i, 2, g))

/* ---- steps of the conductor ---- */
#define NO_ENDING(i, g) (!SEEN_ENDING(i, g))
#if defined(NO_QUEUE)
#define WAITS_BEFORE(i, w, g) 0
#elif defined(NO_WRITER_FIRST)
#define WAITS_BEFORE(i, w, g) (SEEN_QUEUED(i, g) && token[g] < token[w] && HAS_CLAIM_IN(viewRecord[i], g) && !IS_SHARED(w))
#else
#define WAITS_BEFORE(i, w, g) (SEEN_QUEUED(i, g) && token[g] < token[w] && HAS_CLAIM_IN(viewRecord[i], g))
#endif
#define LEAVES_ROOM(i, w, g) \
  (!(CONFLICT(w, g) && !LETS_IN(i, w, g) && (SEEN(i, g) == OPEN || SEEN(i, g) == SEALED)) && \
   !WAITS_BEFORE(i, w, g))
#ifdef NO_CANARY_BEFORE_OPEN
bit noCanary;
#endif
#if defined(NOBODY_FOREIGN) || defined(NO_CANARY_BEFORE_OPEN)
#define READY(w) 1
#else
#define READY(w) ((w) != THIRD || foreignCanary)
#endif
#define CAN_DRIVE(i) (DRIVES(i) && SWAPS(i))
#ifdef NO_DRAIN_FOR_SAME_SESSION
#define IS_HANDED_TO_ITSELF(i, g) ((g) == ORDERLY && SEEN_QUEUED(i, THIRD))
#else
#define IS_HANDED_TO_ITSELF(i, g) 0
#endif
#define CAN_CLOSE(i, g) \
  (SEEN(i, g) == SEALED && FENCE_OVER(g) && (IS_HANDED_TO_ITSELF(i, g) || (NONE_DRAINING(i, g) && (NONE_UNKNOWN(i, g) || COVERED(g)))) && \
   ALL(NO_ENDING, i))
#define CAN_OPEN(i, w) \
  (OPENS_FROM_QUEUE(w) && SEEN_QUEUED(i, w) && GET(keys, w) == THERE && READY(w) && ALL2(LEAVES_ROOM, i, w) && ALL(NO_ENDING, i))

#include "modes.pml"
#include "vouching.pml"

/* ---- the gateway's own parts ---- */
#define REPORT(i, g) \
  (SEEN(i, g) == SEALED -> (OWN_DRAINING(i, g) -> DRAINING : (OWN_UNKNOWN(i, g) -> UNKNOWN_OPEN : DRAINED)) : UNREPORTED)
#define SEALED_AT(k, g) (gateway[k] != SERVING || SAYS(k, g) != UNREPORTED)
#define SEALED_EVERYWHERE(i, g) \
  (SEEN(i, g) >= SEALED && ((i) == 0 || SEALED_AT(0, g)) && ((i) == 1 || SEALED_AT(1, g)) && ((i) == 2 || SEALED_AT(2, g)))
#define IS_BEHIND(i) (viewRecord[i] != record || viewKeys[i] != keys)
#ifdef NO_OPEN_BEFORE_ADMISSION
#define NOT_BEHIND(i, w, g) (!(SEEN_QUEUED(i, g) && token[g] < token[w]))
#define MAY_ADMIT(i, g) \
  (life[i] == VALID && (SEEN_OPEN(i, g) || (IS_EMPTY(viewRecord[i]) && SEEN_QUEUED(i, g) && ALL2(NOT_BEHIND, i, g))))
#else
#define MAY_ADMIT(i, g) (life[i] == VALID && SEEN_OPEN(i, g))
#endif
#ifdef NO_WATCH_IN_LEASE
#define STALLED 6
bit stalled;
#endif
#ifdef NO_LEDGER_IN_EXIT
#define MAY_LEAVE(i) 1
#else
#define MAY_LEAVE(i) NOTHING_OPEN(i)
#endif
#define FAILED(k) (life[k] == OUSTED || life[k] == DEAD)

#ifdef NO_LEVEL_TRIGGER
#define GONE_BITS 42
byte sawKeyGo[3];
#define SAW_KEY_GO(i, g) (GET(sawKeyGo[i], g) == GONE)
#else
#define SAW_KEY_GO(i, g) 1
#endif
#ifdef NO_LIST_AFTER_SEAL
#define HAS_SEALED(word) (((word) & ~((word) << 1)) & 42)
inline note(i) {
  listed[i] = (gateway[0] != NO_RECORD) | ((gateway[1] != NO_RECORD) << 1) | ((gateway[2] != NO_RECORD) << 2)
}
#endif

#ifdef NO_RECHECK
#define MAY_SEND(i) (life[i] != DEAD)
#else
#define MAY_SEND(i) (MAY_ADMIT(i, callGrant) && (SPARES_CALL(PAUSED) || IS_AS_BEFORE(i, callGrant)))
#endif

inline reportGrant(i, g) {
  if
  :: REPORT(i, g) > SAYS(i, g) -> PUT(watermark[i], g, REPORT(i, g))
  :: else
  fi
}

/* One transaction: revision and exceptions are one snapshot. */
inline report(i) {
  if
  :: DRIVES(i) && gateway[i] == SERVING -> reportGrant(i, 0); reportGrant(i, 1); reportGrant(i, 2) REPORTS_MODE(i)
  :: else
  fi
}

inline disregard(k, g, condition) {
  if
  :: condition -> PUT(watermark[k], g, DRAINED)
  :: else
  fi
}

/* Whoever registers after a seal loads a snapshot that holds it: nobody waits for his word. */
inline register(i) {
  gateway[i] = SERVING;
  disregard(i, 0, GET(record, 0) >= SEALED);
  disregard(i, 1, GET(record, 1) >= SEALED);
  disregard(i, 2, GET(record, 2) >= SEALED) DISREGARDS_MODE(i, GET(record, MODE) >= SEALED)
}

inline load(i) {
  viewRecord[i] = record;
  viewKeys[i] = keys;
#ifndef NOBODY_FOREIGN
  inDoubt[i] = (GET(record, THIRD) == OPEN && GET(keys, THIRD) == GONE && !foreignLease)
#endif
}

#ifdef NO_REGISTRATION_FIRST
#define FIRST_STEP_OF_JOINING(i) load(i)
#define SECOND_STEP_OF_JOINING(i) register(i)
#else
#define FIRST_STEP_OF_JOINING(i) register(i)
#define SECOND_STEP_OF_JOINING(i) load(i)
#endif

inline apply(i) {
#ifdef NO_LEVEL_TRIGGER
  sawKeyGo[i] = sawKeyGo[i] | (keys & GONE_BITS & ~viewKeys[i]);
#endif
#ifdef NO_LIST_AFTER_SEAL
  if
  :: IS_EMPTY(record) || record == viewRecord[i] || !HAS_SEALED(record) -> note(i)
  :: else
  fi;
#endif
  viewRecord[i] = record;
  viewKeys[i] = keys;
  report(i)
}

inline forgetView(i) {
  viewRecord[i] = 0;
  viewKeys[i] = 0;
#ifndef NOBODY_FOREIGN
  inDoubt[i] = 0
#endif
}

inline forgetRecord(k) {
  gateway[k] = NO_RECORD;
  watermark[k] = 0
}

inline endCall() {
  callState = NO_CALL;
  callGrant = 0;
#ifdef DOWNGRADE
  callShares = 0;
#endif
  callAt = 0
}

#ifdef NO_SEAL_BEFORE_PROOF
inline flush() {
  if
  :: callGrant == PAUSED && CAN_ACT -> endCall()
  :: else
  fi
}
#endif

inline closeGrant(g) {
  PUT(record, g, CLOSED);
  /* Nobody reads a word about it any more. */
  PUT(watermark[0], g, DRAINED);
  PUT(watermark[1], g, DRAINED);
  PUT(watermark[2], g, DRAINED) FORGET_WORDS(g)
}

inline openGrant(w) {
  assert(I2(w));                                             /* I2: no older call can act when the newer may be admitted */
  assert(I3(w));                                             /* I3: the fence is closed before */
  assert(ALL(NOT_OVERTAKEN, w));                             /* I9: first come, first served */
  PUT(record, w, OPEN)
}

#if defined(NO_CANARY)
/* The lease is asked when the seal is written. */
#define READS_AS_EXPIRED(i) (!foreignLease)
#elif defined(NO_CANARY_BEFORE_OPEN)
#define READS_AS_EXPIRED(i) (!foreignReleased || inDoubt[i] || noCanary)
#else
#define READS_AS_EXPIRED(i) (!foreignReleased || inDoubt[i])
#endif

inline seal(i, g) {
  PUT(record, g, SEALED);
  if
#ifndef CHANGING_MODES
  :: g == PAUSED ->
     assert(GET(keys, PAUSED) == GONE);                      /* I7: whoever is fenced has no lease */
#ifdef NO_FENCE_IN_SEAL
     owesFence = i + 1
#else
     pausedFence = DUE
#endif
#endif
#if defined(UPGRADE)
  :: g != PAUSED -> sealOfChanger(g)
#elif defined(NOBODY_FOREIGN)
  :: g == THIRD -> assert(thirdAsked)                        /* I7: nobody loses what he has not given back */
#else
  :: g == THIRD && READS_AS_EXPIRED(i) ->
     assert(!foreignLease && (!foreignReleased || inDoubt[i])); /* I7: nor is who released, where that was seen */
     foreignFence = DUE
#endif
  :: else
  fi
#ifndef NOBODY_FOREIGN
  ;
  if
  :: g == THIRD -> foreignLease = 0; inDoubt[0] = 0; inDoubt[1] = 0; inDoubt[2] = 0
  :: else
  fi
#endif
}

/* The lease is gone, and a gateway has marked the record: what was not open by then is none of its business. */
inline leaseEnds(k) {
  gateway[k] = MARKED_GONE;
  disregard(k, 0, GET(record, 0) == OUTSIDE);
  disregard(k, 1, GET(record, 1) == OUTSIDE);
  disregard(k, 2, GET(record, 2) == OUTSIDE) DISREGARDS_MODE(k, GET(record, ORDERLY) == OUTSIDE)
}

inline send() {
  assert(I1_OF_CALL);                                        /* I1: a call that was admitted goes out */
  callState = OUT
}

/* Nothing that the instance has sent can do anything any more. */
inline quiet(k) {
  if
  :: callAt == k && (callState == OUT || callState == UNKNOWN) -> endCall()
  :: else
  fi;
  forgetRecord(k)
}

/* What never went out dies with the process. */
inline crash(i) {
  if
  :: callAt == i && callState == UNSENT -> endCall()
  :: else
  fi;
  life[i] = DEAD;
  forgetView(i)
}

#ifdef NO_FENCE_IN_SEAL
#define FENCE_LATER(i) :: d_step { DRIVES(i) && owesFence == i + 1 -> owesFence = 0; pausedFence = DUE }
#else
#define FENCE_LATER(i)
#endif

/* What the gate refuses as stale. A token above everything applied is news instead: it waits for the view. */
#ifdef NO_NEWS
#define IS_STALE(i, g) (token[g] && !SEEN_HELD(i, g) && !SEEN_QUEUED(i, g))
#else
#define IS_STALE(i, g) (token[g] && SEEN_KEY(i, g) != NONE && !SEEN_HELD(i, g) && !SEEN_QUEUED(i, g))
#endif

inline admittedAfterNewer() {
  assert(false)                                              /* I1: a newer conflicting grant is open */
}

inline calledStaleTooEarly() {
  assert(false)                                              /* I9: a grant that lives is refused for good */
}

/* One call is followed through its life; every other one is a check of whether it would be admitted now. */
#define CALLS(i, g) \
  :: d_step { MAY_ADMIT(i, g) && IS_AS_BEFORE(i, g) && callState == NO_CALL -> callState = UNSENT; callGrant = g; callAt = i } \
  :: d_step { MAY_ADMIT(i, g) && IS_AS_BEFORE(i, g) && !I1(g) -> admittedAfterNewer() } \
  :: d_step { life[i] == VALID && IS_STALE(i, g) && GET(keys, g) == THERE -> calledStaleTooEarly() }

/* Whoever writes a seal admits nothing under it any more, and says in it that he has drained where that is so. */
inline sayDrained(i, g) {
#ifdef NO_LEDGER_IN_SEAL
  PUT(watermark[i], g, DRAINED)
#else
  if
  :: OWN_DRAINING(i, g) || OWN_UNKNOWN(i, g)
  :: else -> PUT(watermark[i], g, DRAINED)
  fi
#endif
}

#ifdef NO_SEAL_HERE
#define SEALED_HERE(i, g)
#else
/* That its key is gone says nothing more then. */
#define SEALED_HERE(i, g) PUT(viewRecord[i], g, SEALED); PUT(viewKeys[i], g, GONE);
#endif

#define CONDUCT(i, g) \
  :: d_step { CAN_DRIVE(i) && SEEN_ENDING(i, g) && SAW_KEY_GO(i, g) -> FROM_VIEW(i) seal(i, g); sayDrained(i, g) } \
  :: d_step { CAN_DRIVE(i) && CAN_CLOSE(i, g) -> FROM_VIEW(i) closeGrant(g) } \
  :: d_step { CAN_DRIVE(i) && CAN_OPEN(i, g) -> FROM_VIEW(i) openGrant(g) }

/* Through gateway i: the seal goes with the key where the view shows the grant open, else the key alone. */
#define RELEASE(i, g, asked) \
  :: d_step { DRIVES(i) && GET(record, g) == OPEN && GET(keys, g) == THERE && SEEN_HELD(i, g) && SWAPS(i) -> \
       asked; PUT(keys, g, GONE); PUT(record, g, SEALED); SEALED_HERE(i, g) sayDrained(i, g) } \
  :: d_step { DRIVES(i) && GET(record, g) == OPEN && GET(keys, g) == THERE && SEEN_QUEUED(i, g) -> asked; PUT(keys, g, GONE) }

proctype gatewayInstance(byte i) {
end:
  do
  /* gate */
  CALLS(i, 0)
  CALLS(i, 1)
  CALLS(i, 2)
  /* ledger */
  :: d_step { callAt == i && callState == UNSENT && MAY_SEND(i) -> send() }
  :: d_step { callAt == i && callState == UNSENT && !MAY_SEND(i) -> endCall(); report(i) }
#ifdef NO_JOB
  /* the answer names a job, which runs on; the same holds where a lost answer counts as an end */
  :: d_step { callAt == i && callState == OUT && life[i] != DEAD -> callState = LOOSE; report(i) }
  :: d_step { callAt == i && callState == LOOSE -> endCall() }
#endif
  :: d_step { callAt == i && callState == OUT && life[i] != DEAD -> endCall(); report(i) }
  :: d_step { callAt == i && callState == OUT && life[i] != DEAD -> callState = UNKNOWN; report(i) }
#if !defined(NO_QUIET_TIME) && !defined(VOUCH)
  :: d_step { callAt == i && callState == UNKNOWN && life[i] != DEAD -> endCall(); report(i) }
#endif
  /* replica, view, watermark */
  :: d_step { DRIVES(i) && IS_BEHIND(i) -> apply(i) }
  /* conductor */
  CONDUCT(i, 0)
  CONDUCT(i, 1)
  CONDUCT(i, 2)
#ifndef NOBODY_FOREIGN
  :: d_step { DRIVES(i) && SEEN_QUEUED(i, THIRD) && GET(keys, THIRD) == THERE && !foreignCanary -> foreignCanary = 1 }
#endif
  /* releases */
  RELEASE(i, ORDERLY, skip)
#ifdef NOBODY_FOREIGN
  RELEASE(i, THIRD, thirdAsked = 1)
#endif
  CHANGE_MODE(i)
  OPERATOR(i)
  FENCE_LATER(i)
  /* sequencer */
  :: d_step { life[i] == VALID && pausedFence == DUE -> pausedFence = RUN_BY + i }
  :: d_step { life[i] == VALID && pausedFence >= RUN_BY && pausedFence < FENCED && gateway[pausedFence - RUN_BY] != SERVING ->
       pausedFence = RUN_BY + i }
#if defined(NO_SEAL_BEFORE_PROOF)
  :: d_step { DRIVES(i) && pausedFence == RUN_BY + i -> flush(); pausedProof = 1; pausedFence = FENCED }
#elif defined(NO_COVER_IN_PROOF)
  :: d_step { DRIVES(i) && pausedFence == RUN_BY + i -> pausedProof = 1; pausedFence = FENCED }
#else
  :: d_step { DRIVES(i) && pausedFence == RUN_BY + i && SEALED_EVERYWHERE(i, PAUSED) -> pausedProof = 1; pausedFence = FENCED }
#endif
  :: d_step { DRIVES(i) && pausedFence == RUN_BY + i -> pausedFence = FENCED }
  /* coming */
  :: d_step { life[i] == ABSENT && (i == JOINER || (i == REBORN && faultUsed && (FAILED(FIRST) || FAILED(JOINER)))) ->
       life[i] = REGISTERED; FIRST_STEP_OF_JOINING(i) }
  :: d_step { life[i] == REGISTERED -> life[i] = VALID; SECOND_STEP_OF_JOINING(i); report(i) }
  :: d_step { life[i] == ABSENT && (i == JOINER || (i == REBORN && faultUsed && (life[FIRST] == VALID || life[JOINER] == VALID))) -> life[i] = DEAD }
#ifdef NO_KEPT_RECORD
  /* the record of a gateway that is gone is swept at once */
  :: d_step { DRIVES(i) && gateway[FIRST] == MARKED_GONE && i != FIRST -> forgetRecord(FIRST) }
#endif
#ifdef NO_STRANGER
  /* a new incarnation takes the old one's record for its own */
  :: d_step { i == REBORN && life[i] == VALID && FAILED(FIRST) && gateway[FIRST] != NO_RECORD -> forgetRecord(FIRST) }
#endif
#ifdef NO_REVISION_IN_WATERMARK
  /* a watermark counts by when it was written */
  :: d_step { i == JOINER && DRIVES(i) && gateway[i] == SERVING && GET(record, PAUSED) == SEALED && SAYS(i, PAUSED) == UNREPORTED -> PUT(watermark[i], PAUSED, DRAINED) }
#endif
  /* going: the only fault of a run */
#ifdef LAPSE
#ifdef NO_SELF_SEALING
  :: d_step { !faultUsed && i == FIRST -> faultUsed = 1 }
#else
  :: d_step { !faultUsed && life[i] == VALID -> faultUsed = 1; life[i] = LAPSED }
#endif
  :: d_step { life[i] == LAPSED && gateway[i] != SERVING -> life[i] = OUSTED; forgetView(i) }
  /* The same process, as somebody new, answers from its own ledger. */
  :: d_step { i == REBORN && life[i] == VALID && life[FIRST] == OUSTED && gateway[FIRST] != NO_RECORD && NOTHING_OPEN(FIRST) -> forgetRecord(FIRST) }
  :: d_step { i == REBORN && life[i] == VALID && life[JOINER] == OUSTED && gateway[JOINER] != NO_RECORD && NOTHING_OPEN(JOINER) -> forgetRecord(JOINER) }
#else
#ifdef NO_WATCH_IN_LEASE
  /* its watch stands still, and it renews all the same: LAPSED for ever, with a lease that lives */
  :: d_step { !faultUsed && life[i] == VALID -> faultUsed = 1; stalled = 1; life[i] = STALLED }
#endif
  :: d_step { !faultUsed && (life[i] == REGISTERED || life[i] == VALID) -> faultUsed = 1; crash(i) }
  :: d_step { !faultUsed && life[i] == VALID && MAY_LEAVE(i) -> faultUsed = 1; life[i] = DEAD; forgetRecord(i); forgetView(i) }
#endif
  od
}

/* Leases that end, and the quiet time. */
#if defined(NO_QUIET_TIME) || defined(VOUCH)
#define QUIET(k)
#else
#define QUIET(k) :: d_step { gateway[k] == MARKED_GONE -> quiet(k) }
#endif
#ifdef NO_SELF_SEALING
#define LEASE_MAY_END(k) (life[k] == VALID && faultUsed && k == FIRST)
#else
#define LEASE_MAY_END(k) (life[k] == LAPSED || life[k] == DEAD)
#endif
#define PASSES(k) \
  :: d_step { gateway[k] == SERVING && LEASE_MAY_END(k) -> leaseEnds(k) } \
  QUIET(k)

#define ENQUEUE(g) PUT(keys, g, THERE); tokens++; token[g] = tokens

proctype world() {
end:
  do
  PASSES(FIRST)
  PASSES(JOINER)
  PASSES(REBORN)
#ifdef NO_REVISION_IN_RELEASE
  /* the release of the first grant is said again, by name */
  :: d_step { GET(keys, ORDERLY) == GONE && GET(keys, THIRD) == THERE -> PUT(keys, THIRD, GONE) }
#endif
  /* the paused holder: its lease ends, whatever it does */
  :: d_step { GET(keys, PAUSED) == NONE -> ENQUEUE(PAUSED) }
  :: d_step { GET(keys, PAUSED) != GONE -> PUT(keys, PAUSED, GONE) }
  :: d_step { GET(keys, ORDERLY) == NONE -> ENQUEUE(ORDERLY) }
#if defined(CHANGING_MODES)
  THIRD_HOLDER
#elif defined(TWICE)
  :: d_step { GET(keys, THIRD) == NONE && GET(keys, ORDERLY) == GONE -> ENQUEUE(THIRD) }
  :: d_step { GET(keys, THIRD) == NONE && GET(keys, ORDERLY) == GONE -> PUT(keys, THIRD, GONE) }
#else
  /* the foreign holder: unlock, then the end of its lease; or both at once */
  :: d_step { GET(keys, THIRD) == NONE -> ENQUEUE(THIRD) }
  :: d_step { GET(keys, THIRD) == NONE -> PUT(keys, THIRD, GONE); foreignLease = 0 }
  :: d_step { GET(keys, THIRD) == THERE && IS_OPENED(THIRD) ->
#ifdef NO_CANARY_BEFORE_OPEN
       noCanary = !foreignCanary;
#endif
       PUT(keys, THIRD, GONE); foreignReleased = 1; foreignCanary = 0 }
  :: d_step { GET(keys, THIRD) == THERE -> PUT(keys, THIRD, GONE); foreignLease = 0; foreignCanary = 0 }
  :: d_step { foreignLease && foreignReleased -> foreignLease = 0 }
  /* an operator confirms the foreign holder's fence, as nobody knows whom to stop */
  :: d_step { foreignFence == DUE -> foreignFence = FENCED }
#endif
  :: timeout ->
     assert(IS_EMPTY(record));                               /* I9: no handover stands still */
     assert(GET(record, ORDERLY) == CLOSED);                 /* I9: who waits and lives gets the lock */
     assert(!PAUSED_EXPIRED || pausedFence == FENCED);       /* I4: no due fence is lost */
#if defined(UPGRADE)
     assert(!CHANGER_EXPIRED || changerFence == FENCED);     /* I4: nor that of one who expired in the middle */
#elif defined(DOWNGRADE)
     assert(GET(keys, THIRD) != THERE);                      /* I9: who waits to write gets it, or gives up */
#elif defined(TWICE)
     assert(!token[THIRD] || GET(record, THIRD) == CLOSED);  /* I9: and gets it again */
#else
     assert(!FOREIGN_EXPIRED || foreignFence == FENCED);     /* I4: nor one that waits for an operator */
#endif
     break
  od
}

init {
  d_step { life[FIRST] = VALID; gateway[FIRST] = SERVING };
  atomic { run gatewayInstance(FIRST); run gatewayInstance(JOINER); run gatewayInstance(REBORN); run world() }
}
