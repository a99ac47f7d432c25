// What a run of the benchmark leaves behind: the shape of its JSON, which documents and drawings are made from.

import type { CheckFigures } from './measure/check.ts'
import type { EtcdFigures } from './measure/etcd.ts'
import type { FloodFigures } from './measure/flood.ts'
import type { IdleFigures } from './measure/idle.ts'
import type { LatencyFigures } from './measure/latency.ts'
import type { LoadFigures } from './measure/load.ts'
import type { StreamFigures } from './measure/stream.ts'
import type { Chart } from './scaling/curve.ts'

export type Figures =
  | { readonly kind: 'load'; readonly scenario: string; readonly figures: readonly LoadFigures[] }
  | { readonly kind: 'stream'; readonly scenario: string; readonly figures: readonly StreamFigures[] }
  | { readonly kind: 'idle'; readonly scenario: string; readonly figures: readonly IdleFigures[] }
  | { readonly kind: 'check'; readonly scenario: string; readonly figures: readonly CheckFigures[] }
  | { readonly kind: 'etcd'; readonly scenario: string; readonly figures: readonly EtcdFigures[] }
  | { readonly kind: 'latency'; readonly scenario: string; readonly figures: readonly LatencyFigures[] }
  | { readonly kind: 'flood'; readonly scenario: string; readonly figures: readonly FloodFigures[] }
  | { readonly kind: 'curve'; readonly scenario: string; readonly figures: readonly Chart[] }

export interface Run {
  readonly machine: string
  readonly node: string
  /** Wall clock. */
  readonly at: string
  /** Load average of the machine before the first scenario: what else it was doing. */
  readonly loadBefore: number
  readonly generator: string
  readonly samples: number
  readonly seconds: number
  readonly results: readonly Figures[]
  readonly failures: readonly string[]
}
