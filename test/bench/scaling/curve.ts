// What a measurement of growth gives: charts with a figure for each size, for tables and for drawings.

export interface Chart {
  /** Also the name of its drawing. */
  readonly id: string
  readonly title: string
  /** What grows. */
  readonly x: string
  /** What is measured, with its unit. */
  readonly y: string
  /** Both axes are logarithmic; or the second begins at zero. */
  readonly isLogarithmic: boolean
  readonly series: readonly Series[]
}

export interface Series {
  readonly title: string
  readonly points: readonly Point[]
}

export interface Point {
  readonly x: number
  /** The median; with the least and the most where there were several samples. */
  readonly y: number
  readonly low: number
  readonly high: number
}

export function only(x: number, y: number): Point {
  return { x, y, low: y, high: y }
}
