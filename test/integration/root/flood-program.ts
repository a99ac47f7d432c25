// A flood as a process of its own: connections that send one call behind the other without ever waiting for an answer. Ends
// with the one that started it.

import { connect } from 'node:net'

const [port, connections] = process.argv.slice(2).map(Number)
const calls = Buffer.from(
  'POST /v3/p/volumes/5aa10000-0000-4000-8000-000000000000/metadata HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 15\r\n\r\n{"metadata":{}}'.repeat(
    40,
  ),
)

function open(): void {
  const socket = connect({ port: port ?? 0, host: '127.0.0.1' })
  const send = () => {
    while (!socket.destroyed && socket.write(calls));
  }
  socket.on('connect', send)
  socket.on('drain', send)
  socket.on('data', () => undefined)
  socket.on('error', () => socket.destroy())
  // Turned away: it comes again at once.
  socket.on('close', () => setTimeout(open, 5))
}

for (let i = 0; i < (connections ?? 0); i++) open()
process.on('disconnect', () => process.exit())
