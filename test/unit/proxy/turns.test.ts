import { expect, test } from 'vitest'
import { Turns } from '../../../gateway/proxy/turns.ts'

const nextTurn = () => new Promise<void>((resolve) => setImmediate(resolve))

test('a crowd is served some at a time, in its order, and none is left over', async () => {
  const served: number[] = []
  const turns = new Turns<number>(3, (item) => served.push(item))
  const items = Array.from({ length: 8 }, (_, i) => i)
  for (const item of items) turns.add(item)
  const counts = [served.length]
  for (let i = 0; i < 4; i++) {
    await nextTurn()
    counts.push(served.length)
  }
  expect(counts).toEqual([1, 4, 7, 8, 8])
  expect(served).toEqual(items)
  await nextTurn()
  turns.add(8)
  expect(served).toEqual([...items, 8])
})
