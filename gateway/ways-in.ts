// The listeners of the backends: each has one of its own, and further ones by name. Part of the composition root.

import type { Config, ListenAddress } from './config/index.ts'

export interface WayIn {
  readonly name: string
  readonly backend: Config['backends'][string]
  /** The backend's name, with that of a further listener behind a slash. */
  readonly label: string
  readonly setting: string
  readonly address: ListenAddress
}

export function waysIn(config: Config): readonly WayIn[] {
  return Object.entries(config.backends).flatMap(([name, backend]) => [
    { name, backend, label: name, setting: `backends.${name}.listen`, address: backend.listen },
    ...Object.entries(backend.listeners).map(([listener, address]) => ({
      name,
      backend,
      label: `${name}/${listener}`,
      setting: `backends.${name}.listeners.${listener}`,
      address,
    })),
  ])
}
