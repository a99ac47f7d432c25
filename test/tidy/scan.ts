// Reads a TypeScript file as tokens, with TypeScript's own scanner, so that comments and strings deceive no rule.

import { SyntaxKind } from 'typescript/unstable/ast'
import { createScanner } from 'typescript/unstable/ast/scanner'

export interface Token {
  readonly kind: SyntaxKind
  /** Of a string: its value; else as it stands in the file. */
  readonly text: string
  readonly line: number
}

export interface ImportedModule {
  readonly specifier: string
  readonly line: number
}

const languageStandard = 0

// After one of these a slash divides; anywhere else it begins a regular expression.
const endsOperand: ReadonlySet<SyntaxKind> = new Set([
  SyntaxKind.Identifier,
  SyntaxKind.NumericLiteral,
  SyntaxKind.BigIntLiteral,
  SyntaxKind.StringLiteral,
  SyntaxKind.RegularExpressionLiteral,
  SyntaxKind.NoSubstitutionTemplateLiteral,
  SyntaxKind.TemplateTail,
  SyntaxKind.CloseParenToken,
  SyntaxKind.CloseBracketToken,
  SyntaxKind.CloseBraceToken,
  SyntaxKind.ThisKeyword,
  SyntaxKind.SuperKeyword,
  SyntaxKind.NullKeyword,
  SyntaxKind.TrueKeyword,
  SyntaxKind.FalseKeyword,
  SyntaxKind.PlusPlusToken,
  SyntaxKind.MinusMinusToken,
])

export function scanTokens(source: string): readonly Token[] {
  const scanner = createScanner(true, languageStandard, source)
  const tokens: Token[] = []
  // For each open brace: does it belong to a template?
  const braces: boolean[] = []
  let line = 1
  let counted = 0
  let previous: SyntaxKind | null = null
  for (let kind = scanner.scan(); kind !== SyntaxKind.EndOfFile; kind = scanner.scan()) {
    const slash = kind === SyntaxKind.SlashToken || kind === SyntaxKind.SlashEqualsToken
    if (slash && (previous === null || !endsOperand.has(previous))) kind = scanner.reScanSlashToken()
    if (kind === SyntaxKind.OpenBraceToken) braces.push(false)
    if (kind === SyntaxKind.TemplateHead) braces.push(true)
    if (kind === SyntaxKind.CloseBraceToken && braces.pop() === true) {
      kind = scanner.reScanTemplateToken(false)
      if (kind === SyntaxKind.TemplateMiddle) braces.push(true)
    }
    const start = scanner.getTokenStart()
    for (; counted < start; counted += 1) if (source.charCodeAt(counted) === 10) line += 1
    const text = kind === SyntaxKind.StringLiteral ? scanner.getTokenValue() : scanner.getTokenText()
    tokens.push({ kind, text, line })
    previous = kind
  }
  return tokens
}

/** Static, type-only, re-exporting and dynamic imports alike. */
export function importsOf(tokens: readonly Token[]): readonly ImportedModule[] {
  const found: ImportedModule[] = []
  tokens.forEach((token, index) => {
    if (token.kind !== SyntaxKind.StringLiteral) return
    const before = tokens[index - 1]?.kind
    const bare = before === SyntaxKind.FromKeyword || before === SyntaxKind.ImportKeyword
    const called =
      before === SyntaxKind.OpenParenToken && tokens[index - 2]?.kind === SyntaxKind.ImportKeyword
    if (bare || called) found.push({ specifier: token.text, line: token.line })
  })
  return found
}

export interface MemberCall {
  readonly name: string
  readonly line: number
  /** The names in its argument, up to the first closing parenthesis. */
  readonly argumentNames: readonly string[]
}

/** Names that are called as a member: `it.only(…)` gives `only`. */
export function memberCallsOf(tokens: readonly Token[]): readonly MemberCall[] {
  const found: MemberCall[] = []
  tokens.forEach((token, index) => {
    if (tokens[index - 1]?.kind !== SyntaxKind.DotToken) return
    const after = tokens[index + 1]?.kind
    const called = after === SyntaxKind.OpenParenToken || after === SyntaxKind.DotToken
    if (!called) return
    const rest = tokens.slice(index + 1)
    const argument = rest.slice(
      0,
      rest.findIndex(({ kind }) => kind === SyntaxKind.CloseParenToken),
    )
    const names = argument.filter(({ kind }) => kind === SyntaxKind.Identifier).map(({ text }) => text)
    found.push({ name: token.text, line: token.line, argumentNames: names })
  })
  return found
}
