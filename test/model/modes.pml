/*
 * A mode that changes while the grant is held; part of fencegate.pml.
 *
 * -DUPGRADE      the orderly holder reads; the third grant is what it is to become: exclusive, of the same session, whose lease
 *                may end in the middle. The paused holder reads, or with -DWRITER writes, and gives back
 * -DDOWNGRADE    the orderly holder writes, and may go over to reading; the paused one reads, and the third one, which may
 *                give up, writes
 */

#ifdef CHANGING_MODES
/* The fourth slot of the record, of its copies, and of watermarks. */
#define MODE 3
#endif

#ifdef UPGRADE
/* In the slot: the third grant stands in the record and is not open yet. It stays so where it never opens. */
#define CHANGING 1
bit changerExpired, baseExpired, upgradeExpired;
byte changerFence;

#define IS_NOT_OPEN_YET(word, g) ((g) == THIRD && GET(word, MODE) == CHANGING)
#define HAS_CLAIM_IN(word, g) ((g) != THIRD || GET(word, ORDERLY) == OPEN)
#define OPENS_FROM_QUEUE(w) ((w) != THIRD)
#define BASE_EXPIRED (baseExpired && IS_OPENED(ORDERLY))
#define UPGRADE_EXPIRED (upgradeExpired && GET(record, THIRD) != OUTSIDE)
#define CHANGER_EXPIRED (BASE_EXPIRED || UPGRADE_EXPIRED)
#define CHANGER_HOLDS_BACK(g) \
  (((BASE_EXPIRED && NEWER(g, ORDERLY)) || (UPGRADE_EXPIRED && NEWER(g, THIRD))) && changerFence != FENCED)
#define CHANGER_FENCE_OVER(g) ((g) == PAUSED || changerFence == NO_FENCE || changerFence == FENCED)

#define IS_THERE(i, g) (SEEN(i, g) == OPEN || SEEN(i, g) == SEALED)
#ifdef NO_UPGRADE_ALONE
#define IS_ALONE(i) 1
#else
#define IS_ALONE(i) (!IS_THERE(i, PAUSED))
#endif
#ifdef NO_UPGRADE_QUEUE
#define IS_FIRST(i) 1
#else
#define IS_FIRST(i) (!WAITS_BEFORE(i, THIRD, PAUSED))
#endif
#ifdef NO_KEY_IN_UPGRADE
#define BOTH_KEYS 1
#else
#define BOTH_KEYS (GET(keys, ORDERLY) == THERE && GET(keys, THIRD) == THERE)
#endif
#ifdef NO_UPGRADE_DRAIN
#define BASE_IS_OVER(i) 1
#else
#define BASE_IS_OVER(i) (!IS_THERE(i, ORDERLY))
#endif
#define CAN_BEGIN(i) \
  (SEEN_QUEUED(i, THIRD) && SEEN_OPEN(i, ORDERLY) && IS_ALONE(i) && IS_FIRST(i) && BOTH_KEYS && ALL(NO_ENDING, i))
#define CAN_COMPLETE(i) \
  (SEEN(i, THIRD) == OPEN && GET(viewRecord[i], MODE) == CHANGING && SEEN_KEY(i, THIRD) == THERE && GET(keys, THIRD) == THERE && \
   BASE_IS_OVER(i) && IS_ALONE(i) && ALL(NO_ENDING, i))

/* From here on there is no way back, and nobody comes in between. */
inline beginUpgrade() {
  assert(ALL(NOT_OVERTAKEN, THIRD));                         /* I9: an upgrade overtakes nobody who waits */
  PUT(record, ORDERLY, SEALED);
  PUT(keys, ORDERLY, GONE);
  PUT(record, THIRD, OPEN);
  PUT(record, MODE, CHANGING)
}

inline completeUpgrade() {
  PUT(record, MODE, 0);
  openGrant(THIRD)
}

inline sealOfChanger(g) {
  if
  :: (g == ORDERLY && baseExpired) || (g == THIRD && upgradeExpired) ->
#ifdef NO_FENCE_IN_CHANGE
     changerFence = (g == ORDERLY || !IS_NOT_OPEN_YET(record, THIRD) -> DUE : changerFence)
#else
     changerFence = (changerFence == NO_FENCE -> DUE : changerFence)
#endif
  :: else -> assert(g == PAUSED || g == ORDERLY || thirdAsked) /* I7: nobody loses what he has not given back */
  fi
}

#define CHANGE_MODE(i) \
  :: d_step { CAN_DRIVE(i) && CAN_BEGIN(i) -> FROM_VIEW(i) beginUpgrade() } \
  :: d_step { CAN_DRIVE(i) && CAN_COMPLETE(i) -> FROM_VIEW(i) completeUpgrade() } \
  :: d_step { DRIVES(i) && SEEN_QUEUED(i, THIRD) && SEEN(i, ORDERLY) > OPEN && GET(keys, THIRD) == THERE -> PUT(keys, THIRD, GONE) }

/* The lease of the session ends, with all its keys. */
inline expireChanger() {
  changerExpired = 1;
  baseExpired = (GET(keys, ORDERLY) == THERE);
  upgradeExpired = (GET(keys, THIRD) == THERE);
  if
  :: baseExpired -> PUT(keys, ORDERLY, GONE)
  :: else
  fi;
  if
  :: upgradeExpired -> PUT(keys, THIRD, GONE)
  :: else
  fi
}

#define THIRD_HOLDER \
  :: d_step { GET(keys, THIRD) == NONE && GET(keys, ORDERLY) == THERE && GET(record, ORDERLY) == OPEN -> ENQUEUE(THIRD) } \
  :: d_step { GET(keys, THIRD) == THERE && GET(record, THIRD) == OUTSIDE -> PUT(keys, THIRD, GONE) } \
  :: d_step { token[THIRD] && !changerExpired && (GET(keys, ORDERLY) == THERE || GET(keys, THIRD) == THERE) -> expireChanger() } \
  :: d_step { changerFence == DUE -> changerFence = FENCED }
#else
#define IS_NOT_OPEN_YET(word, g) 0
#define HAS_CLAIM_IN(word, g) 1
#define OPENS_FROM_QUEUE(w) 1
#define CHANGER_HOLDS_BACK(g) 0
#define CHANGER_FENCE_OVER(g) 1
#endif

#ifdef DOWNGRADE
/*
 * The slot is a grant of its own: that of the calls that need the lock exclusively. OUTSIDE: exclusive as yet; SEALED: shared, and
 * they drain; CLOSED: they are over, and readers may come in.
 */
bit callShares;             /* the call that is followed does not need the lock exclusively */

#ifdef NO_FORMER_REFUSAL
#define IS_AS_BEFORE(i, g) 1
#else
#define IS_AS_BEFORE(i, g) ((g) != ORDERLY || SEEN(i, MODE) == OUTSIDE)
#endif
#define IS_UNDER(g) ((g) == MODE -> callGrant == ORDERLY && !callShares : callGrant == (g))
#define SPARES_CALL(g) (callShares && (g) == PAUSED)
#define LETS_IN(i, w, g) ((g) == ORDERLY && (w) == PAUSED && SEEN(i, MODE) == CLOSED)
#define REPORTS_MODE(i) ; reportGrant(i, MODE)
#define DISREGARDS_MODE(i, condition) ; disregard(i, MODE, condition)
#ifdef NO_FORMER_DRAIN
#define HAS_DRAINED(i) 1
#elif defined(NO_FORMER_BARRIER)
#define HAS_DRAINED(i) (!OWN_DRAINING(i, MODE) && !OWN_UNKNOWN(i, MODE))
#else
#define HAS_DRAINED(i) (NONE_DRAINING(i, MODE) && NONE_UNKNOWN(i, MODE))
#endif
#define CAN_SETTLE(i) (SEEN(i, MODE) == SEALED && SEEN(i, ORDERLY) == OPEN && HAS_DRAINED(i) && ALL(NO_ENDING, i))

#define CHANGE_MODE(i) \
  :: d_step { CAN_DRIVE(i) && SEEN_OPEN(i, ORDERLY) && SEEN(i, MODE) == OUTSIDE && GET(keys, ORDERLY) == THERE -> \
       FROM_VIEW(i) PUT(record, MODE, SEALED) } \
  :: d_step { CAN_DRIVE(i) && CAN_SETTLE(i) -> FROM_VIEW(i) closeGrant(MODE) } \
  :: d_step { MAY_ADMIT(i, ORDERLY) && callState == NO_CALL -> callState = UNSENT; callGrant = ORDERLY; callAt = i; callShares = 1 } \
  :: d_step { MAY_ADMIT(i, ORDERLY) && !NO_NEWER_OPENED(ORDERLY, THIRD) -> admittedAfterNewer() }

#define THIRD_HOLDER \
  :: d_step { GET(keys, THIRD) == NONE -> ENQUEUE(THIRD) } \
  :: d_step { GET(keys, THIRD) == THERE && GET(record, THIRD) == OUTSIDE -> thirdAsked = 1; PUT(keys, THIRD, GONE) }
#else
#define IS_AS_BEFORE(i, g) 1
#define IS_UNDER(g) (callGrant == (g))
#define SPARES_CALL(g) 0
#define LETS_IN(i, w, g) 0
#define REPORTS_MODE(i)
#define DISREGARDS_MODE(i, condition)
#endif
#ifndef CHANGING_MODES
#define CHANGE_MODE(i)
#endif
