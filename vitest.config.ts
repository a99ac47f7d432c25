import { defineConfig } from 'vitest/config'

// One ring per folder; test/README.md says what belongs in which.
export default defineConfig({
  test: {
    pool: 'forks',
    // Most of the long files wait: for leases, for elections, for processes.
    maxWorkers: 3,
    testTimeout: 30_000,
    hookTimeout: 120_000,
    teardownTimeout: 20_000,
    reporters: ['default'],
    projects: [
      { extends: true, test: { name: 'fencegate', include: ['test/**/*.test.ts'] } },
      // What the suite of the data plane says holds for both ways through it: plain calls take the raw one above.
      {
        extends: true,
        test: {
          name: 'by node:http',
          include: ['test/integration/proxy/**/*.test.ts'],
          // Has a way of its own.
          exclude: ['test/integration/proxy/http2/**'],
          env: { FENCEGATE_TEST_WAY: 'node-http' },
        },
      },
      {
        extends: true,
        test: {
          name: 'by HTTP/2',
          include: [
            'test/integration/proxy/{call-fate,callers,forwarding,jobs,refusals,repeats,upstreams}.test.ts',
          ],
          env: { FENCEGATE_TEST_WAY: 'http2' },
        },
      },
    ],
  },
})
