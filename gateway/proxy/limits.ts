// Every bound of the data plane with its default, in one place.

export interface ProxyLimits {
  /** Of a request's head, in bytes. */
  readonly headerBytesMax: number
  readonly headerFieldsMax: number
  /** Of a request's body, in bytes. 0: none. What of a longer one was sent before that was known makes its call unknown. */
  readonly bodyBytesMax: number
  /** Of clients, in all and of one address. 0 of one address: none of its own. */
  readonly connectionsMax: number
  readonly connectionsPerAddressMax: number
  /** How long a client may take nothing of what waits for it. What lies in the buffers of the kernel is not seen: a MiB and more. */
  readonly clientStallMs: number
  /** Requests between their head and their end at the backend. Beyond that calls are shed with 503. */
  readonly inFlightMax: number
  /** Of them those that change something under the grants of one session. 0: none of its own. */
  readonly inFlightPerSessionMax: number
  /** Of the bodies that are taken in before their calls go on, together. */
  readonly bodiesBytesMax: number
  /** Streams that a client may have open on one connection of HTTP/2. */
  readonly streamsMax: number
  /** Connections to the backend. */
  readonly upstreamConnectionsMax: number
  readonly connectMs: number
  /** After that long a connection is not used for another call, so that a name that leads elsewhere by now is followed. 0: never. */
  readonly upstreamAgeMs: number
  /** How long an address that could not be reached stands aside. */
  readonly asideMs: number
  /** How long a connection to the backend may lie idle; shorter than servers usually keep theirs. */
  readonly upstreamIdleMs: number
  /** From the sent request to the head of the answer, and between pieces of it, for calls that change something. */
  readonly answerHeadMs: number
  readonly answerIdleMs: number
  /** The same for reads. 0: none, the client decides how long it waits (long polls). */
  readonly readAnswerMs: number
  /** How long a client may take for the head of a request, and how long its connection may lie idle. */
  readonly headMs: number
  readonly clientIdleMs: number
  /** How long a request's body may stand still. A body that moves may take any time. */
  readonly bodyIdleMs: number
  /** How long a connection that has changed its protocol may lie idle. */
  readonly tunnelIdleMs: number
  /** Bodies up to this are taken whole before the call goes on: one write, and a cut request never reaches the backend. */
  readonly smallBodyBytesMax: number
  /** After an early answer, how much of the rest of the request is read and dropped, so that the answer arrives. */
  readonly lingerBytesMax: number
  readonly lingerMs: number
  /** Once a call's lock is sealed, how long a client that does not read may hold up the answer. */
  readonly sealedStallMs: number
  /** How long `close` at least leaves idle connections open, to answer calls that are on their way. */
  readonly idleGraceMs: number
  /** How long `close` waits for calls and jobs. */
  readonly closeMs: number
  readonly jobsMax: number
  readonly probesMax: number
  readonly probeMs: number
}

export const DEFAULT_LIMITS: ProxyLimits = {
  headerBytesMax: 64 * 1024,
  headerFieldsMax: 200,
  bodyBytesMax: 0,
  connectionsMax: 10_000,
  connectionsPerAddressMax: 0,
  clientStallMs: 300_000,
  inFlightMax: 4096,
  inFlightPerSessionMax: 1024,
  bodiesBytesMax: 256 * 1024 * 1024,
  streamsMax: 100,
  upstreamConnectionsMax: 256,
  connectMs: 5_000,
  upstreamAgeMs: 300_000,
  asideMs: 10_000,
  upstreamIdleMs: 1_500,
  answerHeadMs: 300_000,
  answerIdleMs: 120_000,
  readAnswerMs: 0,
  headMs: 15_000,
  clientIdleMs: 65_000,
  bodyIdleMs: 60_000,
  tunnelIdleMs: 3_600_000,
  smallBodyBytesMax: 64 * 1024,
  lingerBytesMax: 1024 * 1024,
  lingerMs: 2_000,
  sealedStallMs: 1_000,
  idleGraceMs: 500,
  closeMs: 10_000,
  jobsMax: 10_000,
  probesMax: 8,
  probeMs: 15_000,
}
