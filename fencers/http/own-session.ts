// The one session that a fencer keeps at an endpoint: opened when it is needed, shared by attempts that run at once.

export interface OwnSession<Session> {
  /** Logs in where there is no session. */
  get(signal: AbortSignal): Promise<Session>
  /** It has ended, says the endpoint; a newer one stays. */
  drop(session: Session): void
  /** For the last goodbye; null where there is none. */
  take(): Session | null
}

export function createOwnSession<Session>(
  logIn: (signal: AbortSignal) => Promise<Session>,
): OwnSession<Session> {
  let own: Session | null = null
  let login: Promise<Session> | null = null
  return {
    async get(signal) {
      if (own !== null) return own
      if (login !== null) {
        // The login of another attempt ends with that attempt; this one then tries for itself.
        const joined = await login.catch(() => null)
        if (joined !== null) return joined
        signal.throwIfAborted()
      }
      login ??= logIn(signal)
        .then((opened) => {
          own = opened
          return opened
        })
        .finally(() => {
          login = null
        })
      return await login
    },
    drop(session) {
      if (own === session) own = null
    },
    take() {
      const last = own
      own = null
      return last
    },
  }
}
