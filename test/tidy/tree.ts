// Reads the checkout's own text files. What git ignores is left out by name, so that no git is needed.

import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

const leftOut: ReadonlySet<string> = new Set(['node_modules', '.git', 'dist', '.cache', 'coverage', 'data'])
const textEndings =
  /\.(ts|mts|mjs|js|json|jsonc|yaml|yml|md|sh|py|cfg|conf|service|toml|pml|go|html|css|svg)$/
const textNames = /^(LICENSE|Containerfile|run|\.npmrc|\.editorconfig|\.gitignore)$/

export function readTree(root: string): ReadonlyMap<string, string> {
  const tree = new Map<string, string>()
  const visit = (folder: string): void => {
    for (const entry of readdirSync(join(root, folder), { withFileTypes: true })) {
      if (leftOut.has(entry.name)) continue
      const path = folder === '' ? entry.name : `${folder}/${entry.name}`
      if (entry.isDirectory()) visit(path)
      else if (textEndings.test(entry.name) || textNames.test(entry.name)) {
        tree.set(path, readFileSync(join(root, path), 'utf8'))
      }
    }
  }
  visit('')
  return tree
}
