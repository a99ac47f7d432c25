// Decides whether `npm ci` failed for nothing but packages of other platforms: exit code 0 where it did.
// npm 11.11 and later demands them in the lockfile, which has only those that its author's registry offered.
// Their versions are pinned by the packages that list them as optional, so that nothing unpinned can come in.

import { readFileSync } from 'node:fs'

const [logPath, lockPath] = process.argv.slice(2)
const log = readFileSync(logPath, 'utf8')
const { packages } = JSON.parse(readFileSync(lockPath, 'utf8'))

const optional = new Set(
  Object.values(packages).flatMap((entry) => Object.keys(entry.optionalDependencies ?? {})),
)
const missing = [...log.matchAll(/^npm error Missing: (.+)@\S* from lock file$/gm)].map((match) => match[1])
const otherFaults = /^npm error Invalid: /m.test(log)

process.exitCode = missing.length > 0 && !otherFaults && missing.every((name) => optional.has(name)) ? 0 : 1
