import { describe, expect, test } from 'vitest'
import { COMMANDS } from '../../../gateway/cli/index.ts'
import { printable, table } from '../../../gateway/cli/table.ts'
import { fenced, run } from './run-with.ts'

describe('arguments', () => {
  test.each([
    [[], 'no command was given'],
    [['lokcs'], 'unknown command "lokcs"; did you mean "locks"?'],
    [['fencers'], 'fencers needs one of list, describe, status, test'],
    [['fencers', 'lst'], 'unknown command "fencers lst"; did you mean "fencers list"?'],
    [['--json', 'locks'], 'a command must come before --json'],
    [['locks', '--jsno'], 'unknown option --jsno; did you mean "--json"?'],
    [['locks', '--json=yes'], '--json takes no value'],
    [['locks', '--control'], '--control needs a value: --control URL'],
    [['locks', 'a', 'b'], '"b" is one argument too many'],
    [['check'], '--config FILE is needed: the configuration'],
    [['explain', '-c', 'f', 'GET'], 'URL is missing'],
    [['fence', '--reason', 'x'], 'SESSION is missing'],
    [['confirm', '1'], '--reason WHY is needed: why; stays in the record'],
    [['check', '-c', 'a', '-c', 'b'], '-c is given twice'],
    [['locks', '-x'], 'unknown option -x'],
  ])('%j is misuse, with the usage and code 2', async (args, message) => {
    const { code, err, out } = await run(args)
    expect(err.split('\n')[0]).toBe(`fencegate: ${message}`)
    expect(err).toContain('fencegate ')
    expect([code, out]).toEqual([2, ''])
  })

  test('every command has a help of its own, also by the word help', async () => {
    for (const { name, options } of COMMANDS) {
      const asked = await run([...name.split(' '), '--help'])
      expect(asked.code).toBe(0)
      expect(asked.out).toContain(`usage: fencegate ${name}`)
      for (const option of Object.keys(options)) expect(asked.out).toContain(`--${option}`)
      expect((await run(['help', ...name.split(' ')])).out).toBe(asked.out)
    }
  })

  test('the overview names every command', async () => {
    const { out, code } = await run(['--help'])
    expect(code).toBe(0)
    for (const { name, summary } of COMMANDS) expect(out).toMatch(new RegExp(`${name}.*${summary}`))
  })

  test('the version is told', async () => {
    expect(await run(['--version'])).toMatchObject({ code: 0, out: 'fencegate 1.2.3\n' })
  })

  test('after two dashes everything is an argument', async () => {
    expect((await run(['explain', '-c', 'good.yaml', '--', 'GET', '-x'])).err).toContain(
      '"-x" is neither a URL',
    )
  })
})

describe('with a configuration', () => {
  test('check prints every fault with its place, and ends with 1', async () => {
    const { code, out } = await run(['check', '-c', 'bad.yaml'])
    expect(code).toBe(1)
    expect(out.split('\n')).toEqual([
      expect.stringMatching(/^bad\.yaml:6:1: unknown key "lgo" — expected one of .*; did you mean "log"\?$/),
      'bad.yaml:7:8: state is 5 — expected the path of a directory',
      '',
    ])
  })

  test('check says so where nothing is wrong', async () => {
    expect(await run(['check', '-c', 'good.yaml'])).toMatchObject({ code: 0, out: 'good.yaml is valid\n' })
    const machine = await run(['check', '-c', 'good.yaml', '--json'])
    expect(JSON.parse(machine.out)).toEqual({ valid: true, faults: [], warnings: [] })
  })

  test('serve tells warnings; a command that asks for something else does not', async () => {
    expect((await run(['serve', '-c', 'unwise.yaml'])).err).toContain(
      'warning: unwise.yaml:1:1: there is no defaultPlan',
    )
    expect(await run(['explain', '-c', 'unwise.yaml', 'GET', 'vol:/'])).toMatchObject({ code: 0, err: '' })
  })

  test('serve starts with a valid configuration, and can read it again', async () => {
    expect(await run(['serve', '-c', 'good.yaml'])).toMatchObject({ code: 0, served: ['good.yaml loaded'] })
  })

  test('serve does not start with a faulty one, or with none', async () => {
    expect(await run(['serve', '-c', 'bad.yaml'])).toMatchObject({ code: 1, served: [] })
    const { code, err } = await run(['serve', '-c', 'missing.yaml'])
    expect(code).toBe(1)
    expect(err).toContain('missing.yaml:1:1: the configuration cannot be read (ENOENT)')
  })

  test.each(['vol:/v3/x?y=%2F', 'http://127.0.0.1:8776/v3/x?y=%2F', 'http://localhost:8776/v3/x?y=%2F'])(
    'explain finds the backend of %s and passes the target on as it is written',
    async (url) => {
      const { code, out } = await run([
        'explain',
        '-c',
        'good.yaml',
        '-H',
        'X-Id: 7',
        '-d',
        'abc',
        'delete',
        url,
      ])
      expect(code).toBe(0)
      expect(out).toBe(
        [
          'backend  vol',
          'policy   cinder',
          'target   /v3/x?y=%2F',
          'rule     delete-volume',
          'effect   mutate',
          'lock     v/7/abc (exclusive)',
          'wait     30s during a handover',
          'why      read-volume: the method is DELETE',
          '',
        ].join('\n'),
      )
    },
  )

  test.each([
    [['GET', 'vlo:/x'], 'there is no backend "vlo": there are vol; did you mean "vol"?'],
    [
      ['GET', 'http://127.0.0.1:1/x'],
      'no backend listens at 127.0.0.1:1; write BACKEND:/path with one of vol',
    ],
    [['-H', 'nonsense', 'GET', 'vol:/x'], '"nonsense" is not a header field: write -H "Name: value"'],
    [['-d', 'x'.repeat(65), 'GET', 'vol:/x'], 'the policy cinder reads bodies of at most 64 bytes'],
  ])('explain %j says what to do instead', async (args, message) => {
    const { code, err } = await run(['explain', '-c', 'good.yaml', ...args])
    expect(err).toContain(message)
    expect(code).toBe(1)
  })

  test('policies are listed and described', async () => {
    expect((await run(['policies', 'list'])).out).toContain('cinder  Cinder’s')
    expect((await run(['policies', 'describe', 'cinder'])).out).toBe('rules…\n')
    expect(JSON.parse((await run(['policies', 'describe', 'cinder', '--json'])).out)).toEqual({ rules: [] })
    expect((await run(['policies', 'describe', 'cindr'])).err).toContain('did you mean "cinder"?')
  })
})

describe('fencers', () => {
  test('are listed and described by their own schemas', async () => {
    expect((await run(['fencers', 'list'])).out).toContain('process  kills a process of this host')
    const { out } = await run(['fencers', 'describe', 'process'])
    expect(out).toMatch(/grace\s+number\s+no\s+seconds before it is killed/)
    expect(out).toMatch(/pid\s+integer\s+yes\s+its process id/)
    const machine = JSON.parse((await run(['fencers', 'describe', 'process', '--json'])).out)
    expect(machine.fenceInfo).toMatchObject({ required: ['pid'] })
  })

  test('a test looks and never strikes', async () => {
    const { code, out } = await run(['fencers', 'test', 'k', '-c', 'good.yaml', '--info', 'pid=7'])
    expect(code).toBe(0)
    expect(out).toBe(
      'fencer   k (process)\ntarget   process:pid 7\nmonitor  ok\nverify   not-fenced: it runs\nnote     looked around\n',
    )
    expect((await run(['fencers', 'test', 'k', '-c', 'good.yaml', '--info', 'pid=404'])).out).toContain(
      'fenced: no such',
    )
    expect(fenced).toEqual([])
  })

  test.each([
    [['k', '--info', 'pid'], '"pid" is not KEY=VALUE'],
    [['k', '--info', 'pid=x'], '--info does not satisfy process: pid: '],
    [['kk'], 'there is no fencer "kk": there are k; did you mean "k"?'],
    [['k', '--timeout', 'soon'], '--timeout takes seconds'],
  ])('a test with %j says what is wrong', async (args, message) => {
    const { code, err } = await run(['fencers', 'test', '-c', 'good.yaml', ...args])
    expect(err).toContain(message)
    expect(code).toBe(1)
  })
})

describe('a gateway that cannot be asked', () => {
  test.each([['locks'], ['sessions'], ['fences'], ['backends'], ['retry', '1']])(
    '%s says where it looked and what to do',
    async (...args) => {
      const { code, err } = await run(args)
      expect(code).toBe(1)
      expect(err).toBe(
        `fencegate ${args[0]}: the control API at http://127.0.0.1:7070 cannot be reached (ECONNREFUSED): is the gateway running there? Name another address with --control URL or FENCEGATE_CONTROL\n`,
      )
    },
  )

  test('the address comes from the option, else from the environment', async () => {
    const environment = { FENCEGATE_CONTROL: 'http://10.0.0.1:1' }
    expect((await run(['locks'], { environment })).err).toContain('http://10.0.0.1:1 ')
    expect((await run(['locks', '--control', 'http://10.0.0.2:2'], { environment })).err).toContain(
      'http://10.0.0.2:2 ',
    )
    expect((await run(['locks', '--control', '10.0.0.2'])).err).toContain('is not the URL of a control API')
  })

  test('another server’s answer is recognised as such', async () => {
    const answer = (status: number, text: string) => () =>
      Promise.resolve({ status, headers: new Headers(), text: () => Promise.resolve(text) })
    expect((await run(['locks'], { fetchWith: () => answer(404, '<html>') })).err).toContain(
      'is this the control listener?',
    )
    expect((await run(['locks'], { fetchWith: () => answer(200, '{}') })).err).toContain(
      'check the address and the versions',
    )
  })
})

describe('the backends of a gateway', () => {
  const upstream = { healthy: true, reason: null, since: '2026-01-02T03:04:05Z', inFlight: 2 }
  const items = [
    {
      ...{ backend: 'cinder', policy: 'cinder', enforced: true, inFlight: 3, connections: 4, jobs: 1 },
      shed: { calls: 5, address: 2 },
      upstreams: [
        { ...upstream, upstream: 'http://10.0.0.5' },
        { ...upstream, upstream: 'http://10.0.0.6', healthy: false, reason: 'ECONN\u001b[2J', inFlight: 0 },
      ],
    },
    {
      ...{ backend: 'vc', policy: 'vsphere', enforced: false, inFlight: 0, connections: 0, jobs: 0 },
      ...{ shed: {}, upstreams: [{ ...upstream, upstream: 'https://vc' }] },
    },
  ]
  const fetchWith = () => () =>
    Promise.resolve({
      status: 200,
      headers: new Headers(),
      text: () => Promise.resolve(JSON.stringify({ items })),
    })

  test('are listed with what they have to do and how many of their addresses are well', async () => {
    const { code, out } = await run(['backends'], { fetchWith })
    expect(code).toBe(0)
    expect(out.split('\n').map((line) => line.split(/ {2,}/))).toEqual([
      ['BACKEND', 'POLICY', 'MODE', 'IN FLIGHT', 'JOBS', 'CONNECTIONS', 'TURNED AWAY', 'WELL'],
      ['cinder', 'cinder', 'enforced', '3', '1', '4', '7', '1 of 2'],
      ['vc', 'vsphere', 'shadow', '0', '0', '0', '0', '1 of 1'],
      [''],
    ])
    expect(JSON.parse((await run(['backends', '--json'], { fetchWith })).out)).toEqual({ items })
  })

  test('show of each address since when it is well, or why it is not', async () => {
    const { out } = await run(['backends', 'cinder'], { fetchWith })
    expect(out).toContain('away     5 since the start, by the limit of calls\n')
    expect(out).toContain('upstream http://10.0.0.5 is well since 2026-01-02T03:04:05Z, 2 in flight\n')
    expect(out).toContain('http://10.0.0.6 is not well since 2026-01-02T03:04:05Z, 0 in flight: ECONN?[2J\n')
    expect(JSON.parse((await run(['backends', 'vc', '--json'], { fetchWith })).out)).toEqual(items[1])
  })

  test('that are not there are said to be not there', async () => {
    const { code, err } = await run(['backends', 'nova'], { fetchWith })
    expect(code).toBe(1)
    expect(err).toBe('fencegate backends: this gateway has no backend "nova": there are cinder, vc\n')
  })
})

test('nothing that a client has named can move the cursor', () => {
  expect(printable('a\u001b[2Jb\nc\u202e')).toBe('a?[2Jb?c?')
  expect(table(['A', 'B'], [['\u001b[31m', 'x']])).toBe('A      B\n?[31m  x\n')
})
