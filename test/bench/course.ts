// Runs one scenario: its peers on their ground where it has any, and the measurement that it asks for.

import type { Figures } from './figures.ts'
import type { LoadGenerator } from './load/generator.ts'
import { measureCheck, measurePolicies } from './measure/check.ts'
import { measureEtcd } from './measure/etcd.ts'
import { takeField } from './measure/field.ts'
import { measureFlood } from './measure/flood.ts'
import { measureIdle } from './measure/idle.ts'
import { measureLatency } from './measure/latency.ts'
import { measureLoad } from './measure/load.ts'
import { measureStream } from './measure/stream.ts'
import type { Peer } from './peers/peer.ts'
import { measureGateways } from './scaling/gateways.ts'
import { measureInFlight } from './scaling/in-flight.ts'
import { measureLocks } from './scaling/locks.ts'
import { measureRules } from './scaling/rules.ts'
import { measureSessions } from './scaling/sessions.ts'
import type { Scenario } from './scenarios.ts'

export interface Course {
  readonly peers: readonly Peer[]
  readonly generator: LoadGenerator
  readonly samples: number
  readonly seconds: number
}

export interface Measured {
  readonly result: Figures
  readonly failed: readonly string[]
}

export async function measure(scenario: Scenario, course: Course): Promise<Measured> {
  const { id } = scenario
  if (scenario.kind === 'check') {
    const figures =
      scenario.alone === 'policies'
        ? await measurePolicies(course.samples)
        : await measureCheck(scenario.alone.locks, course.samples)
    return { result: { kind: 'check', scenario: id, figures }, failed: [] }
  }
  if (scenario.kind === 'etcd') {
    const figures = await measureEtcd(scenario, course.samples)
    return { result: { kind: 'etcd', scenario: id, figures }, failed: [] }
  }
  if (scenario.kind === 'curve' && scenario.curve !== 'in-flight') {
    const curve = {
      locks: measureLocks,
      sessions: measureSessions,
      rules: measureRules,
      gateways: measureGateways,
    }
    return {
      result: { kind: 'curve', scenario: id, figures: await curve[scenario.curve](course) },
      failed: [],
    }
  }
  const peers = course.peers.filter((peer) => scenario.peers?.includes(peer.id) ?? !peer.special)
  if (peers.length === 0) throw new Error('none of the peers that are measured is for this scenario')
  const field = await takeField(scenario, peers)
  const failed = field.failures
  try {
    switch (scenario.kind) {
      case 'load':
        return {
          result: { kind: 'load', scenario: id, figures: await measureLoad(scenario, field, course) },
          failed,
        }
      case 'stream':
        return {
          result: { kind: 'stream', scenario: id, figures: await measureStream(scenario, field, course) },
          failed,
        }
      case 'idle':
        return {
          result: { kind: 'idle', scenario: id, figures: await measureIdle(scenario, field, course.seconds) },
          failed,
        }
      case 'latency':
        return {
          result: { kind: 'latency', scenario: id, figures: await measureLatency(scenario, field, course) },
          failed,
        }
      case 'flood':
        return {
          result: { kind: 'flood', scenario: id, figures: await measureFlood(scenario, field, course) },
          failed,
        }
      case 'curve':
        return {
          result: { kind: 'curve', scenario: id, figures: await measureInFlight(field, course) },
          failed,
        }
    }
  } finally {
    await field.clear()
  }
}
