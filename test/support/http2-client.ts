// A well-behaved client of HTTP/2: whole calls over one connection.

import { type ClientHttp2Session, connect, type OutgoingHttpHeaders } from 'node:http2'

export interface Http2Answer {
  readonly status: number
  readonly fields: Readonly<Record<string, string | string[] | undefined>>
  readonly body: string
  readonly trailers: Readonly<Record<string, string | string[] | undefined>>
  /** Statuses of the interim answers before it. */
  readonly interim: readonly number[]
}

export class Http2Client {
  readonly session: ClientHttp2Session

  private constructor(session: ClientHttp2Session) {
    this.session = session
  }

  static async open(port: number, ca: string): Promise<Http2Client> {
    const session = connect(`https://127.0.0.1:${port}`, { ca, servername: 'localhost' })
    session.on('error', () => session.destroy())
    await new Promise<void>((resolve, reject) => {
      session.once('connect', () => resolve())
      session.once('error', reject)
      session.once('close', () => reject(new Error('the session was closed')))
    })
    return new Http2Client(session)
  }

  /** Rejects where the answer does not come whole. */
  call(fields: OutgoingHttpHeaders, body: string | Buffer | null = null): Promise<Http2Answer> {
    const stream = this.session.request(
      { ':method': 'GET', ':path': '/', ':authority': 'a', ...fields },
      { endStream: body === null },
    )
    if (body !== null) stream.end(body)
    return new Promise((resolve, reject) => {
      let status = 0
      let answered: Http2Answer['fields'] = {}
      let trailers: Http2Answer['trailers'] = {}
      const interim: number[] = []
      const chunks: Buffer[] = []
      stream.on('headers', (head) => interim.push(head[':status'] ?? 0))
      stream.on('response', (head) => {
        status = head[':status'] ?? 0
        answered = head
      })
      stream.on('trailers', (last) => {
        trailers = last
      })
      stream.on('data', (chunk: Buffer) => chunks.push(chunk))
      stream.on('error', reject)
      stream.on('close', () => {
        if (stream.rstCode !== 0) reject(new Error(`the stream was reset (${stream.rstCode})`))
        else
          resolve({
            status,
            fields: answered,
            body: Buffer.concat(chunks).toString('latin1'),
            trailers,
            interim,
          })
      })
    })
  }

  close(): void {
    this.session.destroy()
  }
}
