// Draws one chart as SVG, by hand: sizes on a logarithmic axis, figures on a linear or a logarithmic one, a legend, and a
// bar from the least to the most where there were several samples. It knows no theme: it brings its own white paper.

import type { Chart, Point } from '../scaling/curve.ts'

const WIDTH = 720
const HEIGHT = 400
const LEFT = 76
const RIGHT = 24
const BOTTOM = 52
const TITLE_Y = 26
const LEGEND_Y = 50
const LEGEND_LINE = 18
/** Told apart by people who do not see red and green as two. */
const COLOURS = ['#0072b2', '#d55e00', '#009e73', '#6a6a6a']
const INK = '#222222'
const GRID = '#dddddd'
const TICKS_WANTED = 5

export function drawChart(chart: Chart): string {
  const series = chart.series.map(({ title, points }) => ({ title, points: points.filter(isDrawable) }))
  const points = series.flatMap((each) => each.points)
  if (points.length === 0) throw new Error(`${chart.id}: there is nothing to draw`)
  const sizes = [...new Set(points.map(({ x }) => x))].toSorted((a, b) => a - b)
  const top = LEGEND_Y + series.length * LEGEND_LINE
  const across = logarithmic(sizes[0] ?? 1, sizes.at(-1) ?? 1, LEFT + 20, WIDTH - RIGHT - 20)
  const { ticks, place } = verticalAxis(chart, points, HEIGHT - BOTTOM, top)
  const body = [
    ...ticks.map(
      (tick) =>
        line(LEFT, place(tick), WIDTH - RIGHT, place(tick), GRID) +
        text(LEFT - 8, place(tick) + 4, label(tick), { anchor: 'end' }),
    ),
    ...sizes.map(
      (size) =>
        line(across(size), HEIGHT - BOTTOM, across(size), HEIGHT - BOTTOM + 5, INK) +
        text(across(size), HEIGHT - BOTTOM + 20, size.toLocaleString('en'), { anchor: 'middle' }),
    ),
    line(LEFT, HEIGHT - BOTTOM, WIDTH - RIGHT, HEIGHT - BOTTOM, INK),
    text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 12, chart.x, { anchor: 'middle' }),
    text(18, (top + HEIGHT - BOTTOM) / 2, chart.y, { anchor: 'middle', turned: true }),
    text(LEFT, TITLE_Y, chart.title, { anchor: 'start', size: 16 }),
    ...series.map((each, at) => {
      const colour = COLOURS[at % COLOURS.length] ?? INK
      const y = LEGEND_Y + at * LEGEND_LINE
      return (
        curve(each.points, { across, place, colour }) +
        `<circle cx="${LEFT + 6}" cy="${y - 4}" r="4" fill="${colour}"/>` +
        text(LEFT + 18, y, each.title, { anchor: 'start' })
      )
    }),
  ]
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" width="${WIDTH}" height="${HEIGHT}" role="img" font-family="system-ui, sans-serif" font-size="13">
<title>${escaped(chart.title)}: ${escaped(chart.y)} by ${escaped(chart.x)}</title>
<rect width="${WIDTH}" height="${HEIGHT}" fill="#ffffff"/>
${body.join('\n')}
</svg>
`
}

type Scale = (value: number) => number

function verticalAxis(
  { isLogarithmic }: Chart,
  points: readonly Point[],
  bottom: number,
  top: number,
): { readonly ticks: readonly number[]; readonly place: Scale } {
  const most = Math.max(...points.map(({ high }) => high))
  if (!isLogarithmic) {
    const step = niceStep(most / TICKS_WANTED)
    const ticks = Array.from({ length: Math.ceil(most / step) + 1 }, (_, at) => at * step)
    const end = ticks.at(-1) ?? 1
    return { ticks, place: (value) => bottom - (value / end) * (bottom - top) }
  }
  const first = Math.floor(Math.log10(Math.min(...points.map(({ low }) => low))))
  const last = Math.max(first + 1, Math.ceil(Math.log10(most)))
  const ticks = Array.from({ length: last - first + 1 }, (_, at) => 10 ** (first + at))
  return { ticks, place: logarithmic(10 ** first, 10 ** last, bottom, top) }
}

function logarithmic(least: number, most: number, from: number, to: number): Scale {
  const span = Math.log(most) - Math.log(least)
  return (value) =>
    span === 0 ? (from + to) / 2 : from + ((Math.log(value) - Math.log(least)) / span) * (to - from)
}

/** 1, 2 or 5 times a power of ten, not below `rough`. */
function niceStep(rough: number): number {
  const power = 10 ** Math.floor(Math.log10(rough))
  return ([1, 2, 5, 10].find((factor) => factor * power >= rough) ?? 10) * power
}

interface Pen {
  readonly across: Scale
  readonly place: Scale
  readonly colour: string
}

function curve(points: readonly Point[], { across, place, colour }: Pen): string {
  const at = points.map(({ x, y }) => `${round(across(x))},${round(place(y))}`)
  const bars = points
    .filter(({ low, high }) => high > low)
    .map(({ x, low, high }) => line(across(x), place(low), across(x), place(high), colour))
  const dots = points.map(
    ({ x, y }) => `<circle cx="${round(across(x))}" cy="${round(place(y))}" r="3.5" fill="${colour}"/>`,
  )
  return [
    `<polyline points="${at.join(' ')}" fill="none" stroke="${colour}" stroke-width="2"/>`,
    ...bars,
    ...dots,
  ].join('')
}

function line(x1: number, y1: number, x2: number, y2: number, colour: string): string {
  return `<line x1="${round(x1)}" y1="${round(y1)}" x2="${round(x2)}" y2="${round(y2)}" stroke="${colour}"/>`
}

interface Lettering {
  readonly anchor: 'start' | 'middle' | 'end'
  readonly size?: number
  readonly turned?: boolean
}

function text(x: number, y: number, words: string, { anchor, size = 13, turned = false }: Lettering): string {
  const turn = turned ? ` transform="rotate(-90 ${round(x)} ${round(y)})"` : ''
  return `<text x="${round(x)}" y="${round(y)}" text-anchor="${anchor}" font-size="${size}" fill="${INK}"${turn}>${escaped(words)}</text>`
}

function label(value: number): string {
  return Number(value.toPrecision(3)).toLocaleString('en', { maximumFractionDigits: 3 })
}

function isDrawable({ x, y }: Point): boolean {
  return x > 0 && Number.isFinite(y)
}

function round(value: number): string {
  return value.toFixed(1)
}

function escaped(words: string): string {
  return words.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}
