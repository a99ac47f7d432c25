// The command of a fence plan: has the backend refuse and forget everything of a session, which is its proof `flushed`.

import { argv, env, exit } from 'node:process'

const answer = await fetch(`${argv[2]}/flush/${env['FENCE_ID']}`, {
  method: 'POST',
  signal: AbortSignal.timeout(3_000),
})
exit(answer.ok ? 0 : 2)
