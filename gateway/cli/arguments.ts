// Reads an argument list against the table of commands. Pure: prints nothing, exits nowhere.

import { parseArgs } from 'node:util'
import { nearest } from '../config/index.ts'
import type { CommandDependencies } from './dependencies.ts'

export interface OptionTerms {
  readonly type: 'string' | 'boolean'
  readonly short?: string
  readonly multiple?: boolean
  /** What stands for the value in the help, such as `FILE`. */
  readonly value?: string
  readonly help: string
  readonly required?: boolean
  /** Not required where this other option is given. */
  readonly unless?: string
}

export interface Invocation {
  readonly positionals: readonly string[]
  text(option: string): string | undefined
  texts(option: string): readonly string[]
  flag(option: string): boolean
}

export interface Command {
  /** One word or two, such as `locks` or `fencers list`. */
  readonly name: string
  readonly summary: string
  /** Names of the positional arguments, `[NAME]` where one may be left out, `NAME…` for one and all behind it. */
  readonly positionals: readonly string[]
  readonly options: Readonly<Record<string, OptionTerms>>
  /** More for `--help`. */
  readonly notes?: string
  run(invocation: Invocation, dependencies: CommandDependencies): Promise<number>
}

export type ParsedArguments =
  | { readonly kind: 'run'; readonly command: Command; readonly invocation: Invocation }
  | { readonly kind: 'help'; readonly text: string }
  | { readonly kind: 'version' }
  | { readonly kind: 'misused'; readonly message: string; readonly usage: string }

export function parseArguments(args: readonly string[], commands: readonly Command[]): ParsedArguments {
  const [first, second] = args
  if (first === undefined)
    return { kind: 'misused', message: 'no command was given', usage: overview(commands) }
  if (first === '--help' || first === '-h' || first === 'help') {
    const about = first === 'help' ? args.slice(1).join(' ') : ''
    const command = commands.find(({ name }) => name === about)
    return { kind: 'help', text: command === undefined ? overview(commands) : usageOf(command) }
  }
  if (first === '--version' || first === '-V') return { kind: 'version' }

  const two = commands.find(({ name }) => name === `${first} ${second ?? ''}`)
  const command = two ?? commands.find(({ name }) => name === first)
  if (command === undefined) return unknownCommand(first, second, commands)
  return parseOptions(args.slice(command.name.split(' ').length), command)
}

function unknownCommand(
  first: string,
  second: string | undefined,
  commands: readonly Command[],
): ParsedArguments {
  const family = commands.filter(({ name }) => name.startsWith(`${first} `))
  if (family.length > 0) {
    const usage = family.map(usageLine).join('\n')
    if (second === '--help' || second === '-h') return { kind: 'help', text: `${usage}\n` }
    const names = family.map(({ name }) => name.slice(first.length + 1))
    const meant = second === undefined ? null : nearest(second, names)
    const what =
      second === undefined
        ? `${first} needs one of ${names.join(', ')}`
        : `unknown command "${first} ${second}"`
    return {
      kind: 'misused',
      message: what + hint(meant === null ? null : `${first} ${meant}`),
      usage: `${usage}\n`,
    }
  }
  const meant = nearest(first, new Set(commands.map(({ name }) => name.split(' ')[0] ?? name)))
  const what = first.startsWith('-') ? `a command must come before ${first}` : `unknown command "${first}"`
  return { kind: 'misused', message: what + hint(meant), usage: overview(commands) }
}

function parseOptions(args: readonly string[], command: Command): ParsedArguments {
  const known: Readonly<Record<string, OptionTerms>> = { ...command.options, help: HELP }
  const misused = (message: string): ParsedArguments => ({
    kind: 'misused',
    message,
    usage: usageOf(command),
  })
  const { tokens } = parseArgs({
    args: [...args],
    strict: false,
    allowPositionals: true,
    tokens: true,
    options: Object.fromEntries(
      Object.entries(known).map(([name, { type, short, multiple }]) => [
        name,
        { type, multiple: multiple ?? false, ...(short === undefined ? {} : { short }) },
      ]),
    ),
  })

  const values = new Map<string, string[]>()
  const positionals: string[] = []
  for (const token of tokens) {
    if (token.kind === 'option-terminator') continue
    if (token.kind === 'positional') {
      positionals.push(token.value)
      continue
    }
    if (!Object.hasOwn(known, token.name)) {
      const meant = nearest(token.name, Object.keys(known))
      return misused(`unknown option ${token.rawName}${hint(meant === null ? null : `--${meant}`)}`)
    }
    const terms = known[token.name]
    if (terms?.type === 'string' && token.value === undefined)
      return misused(`${token.rawName} needs a value: ${token.rawName} ${terms.value ?? 'VALUE'}`)
    if (terms?.type === 'boolean' && token.value !== undefined)
      return misused(`${token.rawName} takes no value`)
    const given = values.get(token.name) ?? []
    if (given.length > 0 && terms?.type === 'string' && terms.multiple !== true)
      return misused(`${token.rawName} is given twice`)
    values.set(token.name, [...given, token.value ?? ''])
  }
  if (values.has('help')) return { kind: 'help', text: usageOf(command) }

  const missing = Object.entries(known).find(
    ([name, { required, unless }]) =>
      required === true && !values.has(name) && (unless === undefined || !values.has(unless)),
  )
  if (missing !== undefined)
    return misused(`--${missing[0]} ${missing[1].value ?? ''} is needed: ${missing[1].help}`)
  const needed = command.positionals.filter((name) => !name.startsWith('['))
  if (positionals.length < needed.length) return misused(`${needed[positionals.length] ?? ''} is missing`)
  const takesRest = command.positionals.at(-1)?.endsWith('…') ?? false
  const surplus = takesRest ? undefined : positionals[command.positionals.length]
  if (surplus !== undefined) return misused(`"${surplus}" is one argument too many`)
  return {
    kind: 'run',
    command,
    invocation: {
      positionals,
      text: (option) => values.get(option)?.at(-1),
      texts: (option) => values.get(option) ?? [],
      flag: (option) => values.has(option),
    },
  }
}

const HELP: OptionTerms = { type: 'boolean', short: 'h', help: 'show this' }

function hint(meant: string | null): string {
  return meant === null ? '' : `; did you mean "${meant}"?`
}

function usageLine(command: Command): string {
  const required = Object.entries(command.options)
    .filter(([, terms]) => terms.required === true)
    .map(([name, terms]) => `${flagOf(name, terms)} `)
  return `fencegate ${command.name} ${required.join('')}${command.positionals.join(' ')}`.trimEnd()
}

function usageOf(command: Command): string {
  const options = Object.entries({ ...command.options, help: HELP }).map(
    ([name, terms]) => [flagOf(name, terms), terms.help] as const,
  )
  const width = Math.max(...options.map(([flag]) => flag.length))
  const lines = options.map(([flag, help]) => `  ${flag.padEnd(width)}  ${help}`)
  const notes = command.notes === undefined ? '' : `\n${command.notes}\n`
  return `usage: ${usageLine(command)} [OPTIONS]\n\n${command.summary}\n${notes}\n${lines.join('\n')}\n`
}

function flagOf(name: string, terms: OptionTerms): string {
  const value = terms.type === 'string' ? ` ${terms.value ?? 'VALUE'}` : ''
  return `${terms.short === undefined ? '' : `-${terms.short}, `}--${name}${value}`
}

function overview(commands: readonly Command[]): string {
  const rows = commands.map(
    (command) => [usageLine(command).slice('fencegate '.length), command.summary] as const,
  )
  const width = Math.max(...rows.map(([usage]) => usage.length))
  const lines = rows.map(([usage, summary]) => `  ${usage.padEnd(width)}  ${summary}`)
  return `usage: fencegate COMMAND [OPTIONS]\n\n${lines.join('\n')}\n\nfencegate COMMAND --help says more; fencegate --version says which one this is.\n`
}
