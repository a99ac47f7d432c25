// The roster of the calls in flight behaves as a set does.

import { expect, test } from 'vitest'
import { type Flight, Flights } from '../../../gateway/proxy/flights.ts'
import fc from '../../support/fast-check.ts'

test('whatever comes and goes, the list holds exactly those that are in flight', () => {
  fc.assert(
    fc.property(fc.array(fc.nat({ max: 9 })), (moves) => {
      const all: Flight[] = Array.from({ length: 10 }, () => ({
        slot: -1,
        breakOff: () => undefined,
        endIdleBody: () => undefined,
        hurry: () => undefined,
      }))
      const flights = new Flights()
      const model = new Set<Flight>()
      for (const index of moves) {
        const flight = all[index]
        if (flight === undefined) continue
        if (model.delete(flight)) {
          flights.delete(flight)
          flights.delete(flight)
        } else {
          model.add(flight)
          flights.add(flight)
        }
        expect(flights.size).toBe(model.size)
        expect(new Set(flights.list())).toEqual(model)
      }
    }),
  )
})
