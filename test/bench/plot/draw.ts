// Makes the documents' pictures and tables from the figures of one run, so that no figure in them was ever typed. In a
// document, what stands between `<!-- figures: NAME -->` and `<!-- end of figures -->` is replaced where the run has it.

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import type { Figures, Run } from '../figures.ts'
import { ROOT } from '../ground.ts'
import { chartTable, markdownOf, tablesOf } from '../report.ts'
import { verdictsOf } from '../targets.ts'
import { drawChart } from './chart.ts'
import { cloudTable } from './cloud.ts'

const PICTURES = path.join('docs', 'scaling')
const DOCUMENTS = [path.join('docs', 'scaling.md'), path.join('test', 'bench', 'README.md')]
const PLACE = /(<!-- figures: ([a-z-]+) -->\n)[\s\S]*?(<!-- end of figures -->)/g

/** The files that were written. Throws where `file` is missing or has no figures. */
export function drawRun(file: string): readonly string[] {
  const run: Run = JSON.parse(readFileSync(file, 'utf8'))
  const written: string[] = []
  const write = (name: string, content: string): void => {
    writeFileSync(path.join(ROOT, name), content)
    written.push(path.join(ROOT, name))
  }
  mkdirSync(path.join(ROOT, PICTURES), { recursive: true })
  for (const result of run.results)
    if (result.kind === 'curve')
      for (const chart of result.figures) write(path.join(PICTURES, `${chart.id}.svg`), drawChart(chart))
  for (const document of DOCUMENTS) {
    const pictures = path.relative(path.dirname(document), PICTURES)
    const text = readFileSync(path.join(ROOT, document), 'utf8')
    write(
      document,
      text.replaceAll(PLACE, (whole, start: string, name: string, end: string) => {
        const content = contentOf(run, name, pictures)
        return content === null ? whole : `${start}${content}\n${end}`
      }),
    )
  }
  return written
}

function contentOf(run: Run, name: string, pictures: string): string | null {
  if (name === 'run')
    return (
      `${run.machine}, Node ${run.node}, load from ${run.generator}; medians of ${run.samples} samples of ${run.seconds} s, ` +
      `taken ${run.at.slice(0, 16).replace('T', ' ')} UTC. Load average before it: ${run.loadBefore.toFixed(1)}.`
    )
  if (name === 'cloud') return cloudTable(run)
  if (name === 'targets') {
    const verdicts = run.results.flatMap(verdictsOf)
    return verdicts.length === 0
      ? null
      : verdicts.map(({ isMet, text }) => `- ${isMet ? 'met' : '**not met**'}: ${text}`).join('\n')
  }
  const result = run.results.find(({ scenario }) => scenario === name)
  return result === undefined ? null : sectionOf(result, pictures)
}

function sectionOf(result: Figures, pictures: string): string {
  if (result.kind !== 'curve') return tablesOf(result).map(markdownOf).join('\n\n')
  return result.figures
    .map((chart) => {
      const { title, x, y, id } = chart
      return `![${title}: ${y} by ${x}](${pictures}/${id}.svg)\n\n${title}, ${y}:\n\n${markdownOf(chartTable(chart))}`
    })
    .join('\n\n')
}
