// What a test of the data plane has started, and ends when it is over: the last first.

import { afterEach, test } from 'vitest'
import { startTestGateway, type TestGateway, WAY } from '../../support/echo-backend-gateway.ts'
import { RawClient } from '../../support/raw-http.ts'

/** What is so in HTTP/1.1 alone: spelling and reasons, the ends of connections, bytes that HTTP/2 cannot carry. */
export const testOfHttp1: (name: string, body: () => Promise<void>) => void =
  WAY === 'http2' ? () => undefined : test

const closers: (() => unknown)[] = []
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})

export function closeLater(close: () => unknown): void {
  closers.push(close)
}

export function kept<T extends { close(): unknown }>(thing: T): T {
  closeLater(() => thing.close())
  return thing
}

export async function gatewayTo(...args: Parameters<typeof startTestGateway>): Promise<TestGateway> {
  const gateway = await startTestGateway(...args)
  kept(gateway.listener)
  return gateway
}

export async function clientOf(gateway: TestGateway): Promise<RawClient> {
  return kept(await RawClient.open(gateway.port))
}
