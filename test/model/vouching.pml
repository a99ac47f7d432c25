/*
 * -DVOUCH: no backend has a quiet time, and an operator answers for calls of which nobody knows what became; part of fencegate.pml.
 * What he answers for he has looked at: it can do nothing any more. His word names gateways, and stays when he has gone.
 */

#ifdef VOUCH
byte vouched[3];            /* for each instance: a bit for each grant */

#define IS_VOUCHED(k, g) (vouched[k] & (1 << (g)))
/* Of a gateway that lives, its own word; one that is gone can send nothing more. */
#define ONLY_UNKNOWN(i, k, g) \
  ((k) == (i) -> OWN_UNKNOWN(i, g) : gateway[k] == MARKED_GONE || (gateway[k] == SERVING && SAYS(k, g) == UNKNOWN_OPEN))
#if defined(NO_UNKNOWN_IN_WORD)
#define MAY_NAME(i, k, g) (ONLY_UNKNOWN(i, k, g) || ((k) == (i) -> OWN_DRAINING(i, g) : gateway[k] == SERVING && SAYS(k, g) == DRAINING))
#elif defined(NO_SEAL_BEFORE_WORD)
#define MAY_NAME(i, k, g) (ONLY_UNKNOWN(i, k, g) || ((k) != (i) && gateway[k] == SERVING && SAYS(k, g) == UNREPORTED))
#else
#define MAY_NAME(i, k, g) ONLY_UNKNOWN(i, k, g)
#endif

inline vouch(k, g) {
  vouched[k] = vouched[k] | (1 << (g));
  if
  :: callAt == k && callGrant == g && (callState == UNKNOWN || (callState == OUT && life[k] == DEAD)) -> endCall()
  :: else
  fi
}

#define MAY_VOUCH(i, k, g) (SEEN(i, g) == SEALED && SAYS(k, g) != DRAINED && !IS_VOUCHED(k, g) && MAY_NAME(i, k, g))
#define VOUCHES(i, k, g) :: d_step { CAN_DRIVE(i) && MAY_VOUCH(i, k, g) -> vouch(k, g) }
#define OPERATOR(i) \
  VOUCHES(i, 0, 0) VOUCHES(i, 0, 1) VOUCHES(i, 0, 2) \
  VOUCHES(i, 1, 0) VOUCHES(i, 1, 1) VOUCHES(i, 1, 2) \
  VOUCHES(i, 2, 0) VOUCHES(i, 2, 1) VOUCHES(i, 2, 2)
#define FORGET_WORDS(g) ; vouched[0] = vouched[0] & ~(1 << (g)); vouched[1] = vouched[1] & ~(1 << (g)); vouched[2] = vouched[2] & ~(1 << (g))
#else
#define IS_VOUCHED(k, g) 0
#define OPERATOR(i)
#define FORGET_WORDS(g)
#endif
