import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'

const summary = join(import.meta.dirname, '..', '..', '.ci', 'summary.mjs')
let folder = ''

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'fencegate-ci-'))
})
afterEach(() => {
  rmSync(folder, { recursive: true, force: true })
})

type File = { readonly status: string; readonly assertionResults: readonly { readonly status: string }[] }

/** The last line and the exit code, of CI's summary of such a report. */
function summarize(report: unknown, testsExit: number, checkExit: number) {
  const path = join(folder, 'report.json')
  if (report !== null) writeFileSync(path, JSON.stringify(report))
  const ended = spawnSync(process.execPath, [summary, path, String(testsExit), String(checkExit)], {
    encoding: 'utf8',
  })
  return { line: ended.stdout.trimEnd().split('\n').at(-1), code: ended.status }
}

const report = (passed: number, failed: number, testResults: readonly File[] = []) => ({
  numPassedTests: passed,
  numFailedTests: failed,
  numPendingTests: 0,
  numTodoTests: 0,
  testResults,
})

describe('the line that CI is read by', () => {
  it('counts what vitest counted', () => {
    expect(summarize(report(7, 0), 0, 0)).toEqual({ line: '7 passed, 0 failed', code: 0 })
    expect(summarize(report(7, 2), 1, 0)).toEqual({ line: '7 passed, 2 failed', code: 1 })
  })

  it('counts a failed check as one failure', () => {
    expect(summarize(report(7, 0), 0, 1)).toEqual({ line: '7 passed, 1 failed', code: 1 })
  })

  it('fails where not one test ran, or there is no report', () => {
    expect(summarize(report(0, 0), 0, 0)).toEqual({ line: '0 passed, 1 failed', code: 1 })
    expect(summarize(null, 0, 0)).toEqual({ line: '0 passed, 1 failed', code: 1 })
  })

  it('counts a file that broke before its tests were known', () => {
    const broken = { status: 'failed', assertionResults: [] }
    expect(summarize(report(7, 1, [broken]), 1, 0)).toEqual({ line: '7 passed, 2 failed', code: 1 })
  })

  it('fails where the tests ended badly though none of them failed', () => {
    expect(summarize(report(7, 0), 1, 0)).toEqual({ line: '7 passed, 1 failed', code: 1 })
  })
})
