// Pictures and tables are made from figures alone, so a wrong one would be believed.

import { describe, expect, it } from 'vitest'
import { drawChart } from '../../bench/plot/chart.ts'
import { chartTable, markdownOf } from '../../bench/report.ts'
import type { Chart } from '../../bench/scaling/curve.ts'

const CHART: Chart = {
  id: 'locks',
  title: 'A < B & C',
  x: 'locks',
  y: 'ns',
  isLogarithmic: false,
  series: [
    {
      title: 'rising',
      points: [
        { x: 10, y: 1, low: 1, high: 1 },
        { x: 100, y: 2, low: 1, high: 3 },
        { x: 1_000, y: 3, low: 3, high: 3 },
      ],
    },
    { title: 'short', points: [{ x: 100, y: 1_234.6, low: 1_234.6, high: 1_234.6 }] },
  ],
}

function placesOf(svg: string): readonly { readonly x: number; readonly y: number }[] {
  const [line = ''] = /<polyline points="([^"]*)"/.exec(svg)?.slice(1) ?? []
  return line.split(' ').map((pair) => {
    const [x = Number.NaN, y = Number.NaN] = pair.split(',').map(Number)
    return { x, y }
  })
}

describe('a chart', () => {
  it('puts equal ratios of sizes at equal distances, and larger figures higher', () => {
    const [only] = CHART.series
    const [a, b, c] = placesOf(drawChart({ ...CHART, series: only === undefined ? [] : [only] }))
    if (a === undefined || b === undefined || c === undefined) throw new Error('a point is missing')
    expect(b.x - a.x).toBeCloseTo(c.x - b.x, 0)
    expect(a.y).toBeGreaterThan(b.y)
    expect(a.y - b.y).toBeCloseTo(b.y - c.y, 0)
  })

  it('draws a figure ten times as large as far again where the axis is logarithmic', () => {
    const points = [1, 10, 100].map((y) => ({ x: y * 7, y, low: y, high: y }))
    const series = [{ title: 'growing', points }]
    const [a, b, c] = placesOf(drawChart({ ...CHART, isLogarithmic: true, series }))
    if (a === undefined || b === undefined || c === undefined) throw new Error('a point is missing')
    expect(a.y - b.y).toBeCloseTo(b.y - c.y, 0)
    expect(a.y).toBeGreaterThan(b.y)
  })

  it('writes no mark-up of its words, and every size once', () => {
    const svg = drawChart(CHART)
    expect(svg).toContain('A &lt; B &amp; C')
    expect(svg.match(/>1,000</g)).toHaveLength(2)
    expect(svg).not.toMatch(/NaN|undefined/)
  })

  it('has one row for each size in its table, and a dash where a series has no figure', () => {
    expect(markdownOf(chartTable(CHART))).toBe(
      [
        '| locks | rising | short |',
        '| --- | ---: | ---: |',
        '| 10 | 1.00 | – |',
        '| 100 | 2.00 | 1,235 |',
        '| 1,000 | 3.00 | – |',
      ].join('\n'),
    )
  })
})
