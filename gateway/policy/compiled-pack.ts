// A pack after it was compiled: what the engine works on.

import type { RequiredLock } from '../spi/policy.ts'
import type { CallerPlaces } from './caller-places.ts'
import type { GrowingLeaf } from './leaf.ts'
import type { PathTree } from './path-tree.ts'
import type { CompiledRule } from './rule.ts'
import type { Overrides, PackSource, RuleSource } from './schema.ts'
import type { SoapPaths } from './soap-paths.ts'
import type { XmlForm } from './xml-envelope.ts'

export type Layer = PathTree<GrowingLeaf>

export interface CompiledPack {
  readonly name: string
  readonly source: PackSource
  readonly overrides: Overrides | null
  /** Tried in order: the operator's first rules, the pack's, the operator's last. */
  readonly layers: readonly Layer[]
  readonly rules: readonly { readonly source: RuleSource; readonly rule: CompiledRule }[]
  readonly defaultLock: RequiredLock
  readonly waitMs: number
  readonly quietMs: number | null
  readonly bodyBytesMax: number
  readonly loginKeys: readonly string[]
  readonly callers: CallerPlaces | null
  readonly asksLogin: PackSource['asks_login']
  readonly xmlPaths: Readonly<Record<XmlForm, SoapPaths>>
  /** A path of a rule takes `%2F` as data. */
  readonly takesSlashes: boolean
  readonly pathPrefixes: readonly string[]
}
