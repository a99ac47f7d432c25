// @fastify/http-proxy with the map's check as preHandler. JavaScript, because its packages stand in the cache and not
// among our dependencies, so there are no types. Writes its port to standard output.

import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'

const options = JSON.parse(process.argv[2])
const load = createRequire(`${options.prefix}/package.json`)
const fastify = load('fastify')
const proxy = load('@fastify/http-proxy')

const tokens = new Map()
for (const line of readFileSync(options.mapFile, 'utf8').split('\n')) {
  const [target, token] = line.split(' ')
  if (token !== undefined) tokens.set(target, token)
}

const secure = options.tls !== null
const app = fastify({
  keepAliveTimeout: 600_000,
  bodyLimit: 2 ** 40,
  ...(secure && {
    https: { cert: readFileSync(options.tls.certFile), key: readFileSync(options.tls.keyFile) },
  }),
})
app.register(proxy, {
  upstream: `${secure ? 'https' : 'http'}://127.0.0.1:${options.upstreamPort}`,
  undici: { connections: 256, connect: { rejectUnauthorized: false } },
  preHandler: (request, reply, done) => {
    if (request.method === 'GET') return done()
    const token = tokens.get(request.url)
    if (token === undefined || request.headers['fencing-token'] !== token) reply.code(412).send()
    else done()
  },
  replyOptions: {
    rewriteRequestHeaders: (_, { 'fencing-token': _token, ...headers }) => headers,
  },
})
await app.listen({ host: '127.0.0.1', port: 0 })
process.stdout.write(`${app.server.address().port}\n`)
process.once('SIGTERM', () => process.exit(0))
process.stdin.once('end', () => process.exit(0)).resume()
