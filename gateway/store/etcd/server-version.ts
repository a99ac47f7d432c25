// Which etcd servers say the truth about the progress of a watch.

/** The first good patch of each minor version that has had both. */
const FIXED_IN: readonly { readonly minor: number; readonly patch: number }[] = [
  { minor: 4, patch: 31 },
  { minor: 5, patch: 13 },
]

/**
 * Whether an answer to a progress request comes behind the events that it speaks of. Older servers let it overtake
 * them (https://github.com/etcd-io/etcd/issues/15220), or keep silent on a new watch
 * (https://github.com/etcd-io/etcd/issues/17507): from those it says that the stream is alive, and no more.
 */
export function ordersRequestedProgress(version: string): boolean {
  const match = /^(\d+)\.(\d+)\.(\d+)/.exec(version)
  if (match === null) return false
  const [major, minor, patch] = match.slice(1).map(Number)
  if (major === undefined || minor === undefined || patch === undefined) return false
  if (major !== 3) return major > 3
  const fixed = FIXED_IN.find((line) => line.minor === minor)
  return fixed === undefined ? minor > 5 : patch >= fixed.patch
}
