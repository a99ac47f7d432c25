// Which routes there are, for those who ask for one that is not there: another method, another path, or nothing at all.

import { type Problem, problemOf } from './problems.ts'

interface Route {
  readonly path: RegExp
  readonly method: string
}

export class OfferedRoutes {
  readonly #routes: Route[] = []

  /** `url` has parameters such as `:name`. */
  add(methods: string | readonly string[], url: string): void {
    const path = new RegExp(`^${url.replaceAll('.', '\\.').replace(/:\w+/g, '[^/]+')}$`)
    for (const method of [methods].flat()) this.#routes.push({ path, method })
  }

  /** `allow`: the methods that the path takes; empty where there is no such path. */
  explain(method: string, path: string): { readonly problem: Problem; readonly allow: readonly string[] } {
    const allow = [
      ...new Set(this.#routes.filter((route) => route.path.test(path)).map((route) => route.method)),
    ]
    const what = `there is no ${method} ${path.slice(0, 256)}`
    if (allow.length > 0)
      return { problem: problemOf('method-not-allowed', `${what}: it takes ${allow.join(', ')}`), allow }
    const hint = /^\/v1\/locks\/[^/]+\/./.test(path)
      ? 'percent-encode the slashes of a lock name as %2F'
      : 'GET /openapi.json lists what there is'
    return { problem: problemOf('not-found', `${what}: ${hint}`), allow }
  }
}
