// Which etcd servers' answers to a progress request may be believed.

import { expect, test } from 'vitest'
import { ordersRequestedProgress } from '../../../gateway/store/etcd/server-version.ts'

test.each(['3.4.31', '3.4.37', '3.5.13', '3.5.21', '3.6.0', '3.10.0', '4.0.0', '3.6.0-rc.1'])(
  'the progress that etcd %s tells on request is behind the events',
  (version) => expect(ordersRequestedProgress(version)).toBe(true),
)

test.each(['3.3.27', '3.4.23', '3.4.30', '3.5.0', '3.5.12', '2.3.8', '', 'main'])(
  'the progress that etcd %s tells on request may be ahead of the events',
  (version) => expect(ordersRequestedProgress(version)).toBe(false),
)
