// Turns vitest's JSON report and the exit codes of CI's two steps into the one line that CI is read by.
// Must never say that all is well where something did not run.
import { readFileSync } from 'node:fs'

const [reportPath, testsExit, checkExit] = process.argv.slice(2)

/** A test file that broke before its tests were known counts as one failure. */
function readReport(path) {
  try {
    const report = JSON.parse(readFileSync(path, 'utf8'))
    const brokenFiles = report.testResults.filter(
      (file) => file.status === 'failed' && !file.assertionResults.some((test) => test.status === 'failed'),
    )
    return {
      passed: report.numPassedTests,
      failed: report.numFailedTests + brokenFiles.length,
      skipped: report.numPendingTests + report.numTodoTests,
    }
  } catch (error) {
    console.log(`no report of the tests: ${error.message}`)
    return { passed: 0, failed: 1, skipped: 0 }
  }
}

const { passed, failed: failedTests, skipped } = readReport(reportPath)
let failed = failedTests
if (passed + failed === 0) {
  console.log('not one test ran')
  failed += 1
}
if (testsExit !== '0' && failed === 0) {
  console.log(`the tests ended with exit code ${testsExit}, though none of them failed`)
  failed += 1
}
if (checkExit !== '0') {
  console.log('npm run check failed')
  failed += 1
}
if (skipped > 0) console.log(`${skipped} skipped`)
console.log(`${passed} passed, ${failed} failed`)
process.exitCode = failed === 0 ? 0 : 1
