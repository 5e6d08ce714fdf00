// Writes rows about names, versions and ranges, and what npm's `semver` (strict) and its check of names say of them.
'use strict'

const semver = require('semver')
const validName = require('validate-npm-package-name')

const MAX_VERSION = 64
const MAX_REQUIREMENT = 200
const MAX_NAME = 214
const SPACES = [' ', '\t', '\n', '\v', '\f', '\r', '\u0085', '\u00a0', '\u2003', '\u3000', '\u200b', '\ufeff']
const ODD = [...SPACES, ...'0123456789abcxXvV.-_+*^~=<>|,@/:()!\'%', 'é', '٣', '\0', '||', ' - ', '..', '-0', '.x', '>=', 'beta']

const [seed, count] = process.argv.slice(2).map(Number)

// --- chance

let state = seed >>> 0

function random () {
  state = (state + 0x9e3779b9) >>> 0
  let z = state
  z = Math.imul(z ^ (z >>> 16), 0x21f0aaad)
  z = Math.imul(z ^ (z >>> 15), 0x735a2d97)
  return ((z ^ (z >>> 15)) >>> 0) / 2 ** 32
}

const below = (n) => Math.floor(random() * n)
const chance = (share) => random() < share
const pick = (list) => list[below(list.length)]

// --- what texts are made of

function number () {
  const which = below(40)
  if (which < 26) return String(below(4))
  if (which < 34) return String(below(30))
  if (which < 36) return '0'
  return pick(['9007199254740990', '9007199254740991', '9007199254740992', '18446744073709551616', '2025', '01', '99999999999999999999999'])
}

const identifier = () => pick([
  '0', '1', '2', '10', 'a', 'b', 'alpha', 'beta', 'rc', 'x', 'A', '-', '-1', '0a', '1-', 'v1',
  pick(['9007199254740992', '9007199254740993', '20240101123456789012', '20240101123456789013', '01', ''])
])

function dotted (make) {
  let text = make()
  while (chance(0.35)) text += '.' + make()
  return text
}

const pre = (share) => chance(share) ? '-' + dotted(identifier) : ''
const build = (share) => chance(share) ? '+' + dotted(() => pick(['1', '01', 'a', 'build', '-', '9', '10', chance(0.1) ? '' : 'b'])) : ''

function version (share = 0.35) {
  return `${number()}.${number()}.${number()}${pre(share)}${build(0.12)}`
}

function odd (text) {
  for (let times = 1 + below(2); times > 0; times--) {
    const at = below(text.length + 1)
    text = chance(0.7) ? text.slice(0, at) + pick(ODD) + text.slice(at) : text.slice(0, at) + text.slice(at + 1)
  }
  return text
}

function anyVersion () {
  let text = version()
  if (chance(0.06)) text = 'v' + text
  if (chance(0.25)) text = odd(text)
  return text
}

// A version like one that stands in the text.
function near (text) {
  const found = text.match(/\d+(\.\d+){0,2}(-[0-9A-Za-z.-]+)?/g)
  if (!found || chance(0.1)) return version()
  const [main, ...rest] = pick(found).split('-')
  const numbers = main.split('.')
  while (numbers.length < 3) numbers.push(pick(['0', '0', '1', '9']))
  if (chance(0.5)) {
    const at = below(3)
    const changed = Number(numbers[at]) + pick([1, 1, -1])
    if (changed >= 0) numbers[at] = BigInt(changed).toString()
    if (chance(0.5)) for (let i = at + 1; i < 3; i++) numbers[i] = '0'
  }
  let after = rest.length > 0 ? '-' + rest.join('-') : ''
  if (chance(0.35)) after = pick(['', '-0', '-1', '-a', '-rc.1', '-' + dotted(identifier), after + '.0', after + '+b', after.replace(/\d{16,}/, (digits) => digits.slice(0, -1) + below(10))])
  return numbers.join('.') + after
}

const x = () => pick(['x', 'X', '*', 'x'])

function partial () {
  const parts = [number(), number(), number()]
  const kept = 1 + below(3)
  let text = ''
  for (let i = 0; i < kept; i++) text += (i ? '.' : '') + (chance(0.12) ? x() : parts[i])
  if (kept === 3) text += pre(0.25)
  return text + build(0.05)
}

const space = () => pick(['', '', '', '', '', ' ', ' ', '  ', '\t'])

function comparator () {
  const sign = pick(['', '', '^', '^', '~', '~', '>', '<', '>=', '>=', '<=', '<=', '=', '~>', chance(0.2) ? '~ >' : '', chance(0.2) ? '~=' : '^'])
  const prefix = chance(0.06) ? pick(['v', '=', 'v=', 'vv', '=v', ' v ', '= ']) : ''
  return sign + space() + prefix + (chance(0.05) ? x() : partial())
}

function side () {
  const which = random()
  if (which < 0.04) return pick(['', ' ', '*', 'x', '+b'])
  if (which < 0.2) {
    const from = (chance(0.06) ? pick(['v', '=', 'v ']) : '') + partial()
    const to = (chance(0.06) ? pick(['v', '=', ' ']) : '') + partial()
    return from + pick([' - ', ' - ', ' - ', ' - ', ' - ', '  -  ', ' -', '- ', ' - +b ']) + to
  }
  if (which < 0.35) {
    const from = version(0.3)
    return pick(['>', '>=']) + space() + from + ' ' + pick(['<', '<=']) + space() + near(from)
  }
  let text = comparator()
  while (chance(0.25)) text += pick([' ', ' ', ' ', ' ', '  ', chance(0.2) ? ',' : ' ', chance(0.2) ? ' +b ' : ' ']) + comparator()
  return text
}

function range () {
  let text = side()
  while (chance(0.18)) text += space() + '||' + space() + side()
  return chance(0.06) ? odd(text) : text
}

function name () {
  const words = ['a', 'left', 'pad', 'JSONStream', 'core', 'node_modules', '7', 'http', 'favicon.ico', 'Types', 'b!', "it's", 'x(1)', 'y~']
  const part = () => {
    let text = pick(['', '', '', '', '', '', '_', '.', '-', '..']) + pick(words)
    while (chance(0.4)) text += pick(['-', '.', '_', '']) + pick(words)
    return text
  }
  let text = chance(0.5) ? `@${part()}/${part()}` : part()
  if (chance(0.02)) text = text + 'a'.repeat(pick([100, 210, 213, 214, 215]) - Math.min(text.length, 100))
  return chance(0.25) ? odd(text) : text
}

// --- what npm says

const bytes = (text) => Buffer.byteLength(text)

function versionOf (text) {
  if (bytes(text) === 0 || bytes(text) > MAX_VERSION) return null
  return semver.parse(text)
}

function rangeOf (text, options) {
  if (bytes(text) > MAX_REQUIREMENT) return null
  try {
    return new semver.Range(text, options)
  } catch {
    return null
  }
}

const comparators = (range) => range.set.flat()

function asked (text, of, question) {
  const [range, version] = [rangeOf(text), versionOf(of)]
  return range && version ? question(range, version) : null
}

const exactly = (range, version) =>
  comparators(range).every(({ operator, semver: named }) => operator === '' && named.version === version.version)

function includes (text) {
  return (_, version) => rangeOf(text, { includePrerelease: true })?.test(version) ?? 'npm makes a range of it that it cannot read'
}

// --- where we differ, and why

function known (kind, texts) {
  const [first, last] = [texts[0], texts.at(-1)]
  const isVersion = ['version', 'key', 'pre', 'compare'].includes(kind)
  const versions = isVersion ? texts : kind === 'matches' || kind === 'includes' || kind === 'exactly' ? [last] : []
  if (versions.some((text) => text !== text.trim())) return 'a version is written without space around it'
  if (['compare', 'matches', 'includes', 'exactly'].includes(kind) && texts.some((text) => /-[0-9A-Za-z.-]*\d{16}/.test(text))) {
    return 'numbers of 2^53 and more in a pre-release are compared by npm as floats'
  }
  if (kind === 'name') {
    return /^@.*\/node_modules$/i.test(first) ? 'node_modules in a scope is refused' : undefined
  }
  if (isVersion) return undefined
  if (/(^|[\s|])\+/.test(first)) return 'npm takes build metadata that stands alone away'
  const stuck = first.replace(/\+[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*/g, '').match(/[^\s|.<>=~^v]\*|\*[^\s|.+-]|\*-[^\s]|[.\d]\*\d/)
  if (stuck) return 'npm takes a star that is stuck to something away'
  if (/>=\s*v0\.0\.0/.test(first)) return '>=v0.0.0 is >=0.0.0'
}

// --- rows

const QUESTIONS = [
  ['name', 6], ['version', 12], ['key', 6], ['pre', 2], ['compare', 16], ['requirement', 16], ['any', 3], ['matches', 28], ['includes', 18], ['exactly', 3]
]
const weighted = QUESTIONS.flatMap(([question, weight]) => Array(weight).fill(question))

for (let row = 0; row < count; row++) {
  const kind = pick(weighted)
  let texts, want
  switch (kind) {
    case 'name': {
      texts = [name()]
      want = validName(texts[0]).validForOldPackages && bytes(texts[0]) <= MAX_NAME ? texts[0] : null
      break
    }
    case 'version':
      texts = [anyVersion()]
      want = versionOf(texts[0]) !== null
      break
    case 'key':
      texts = [anyVersion()]
      want = versionOf(texts[0])?.version ?? null
      break
    case 'pre': {
      texts = [anyVersion()]
      const version = versionOf(texts[0])
      want = version ? version.prerelease.length > 0 : null
      break
    }
    case 'compare': {
      const text = anyVersion()
      texts = [text, near(text)]
      const [a, b] = texts.map(versionOf)
      want = a && b ? '<=>'[a.compare(b) + 1] : null
      break
    }
    case 'requirement':
      texts = [chance(0.2) ? odd(range()) : range()]
      want = rangeOf(texts[0]) !== null
      break
    case 'any':
      texts = [chance(0.5) ? pick(['', '*', ' x ', 'X.x', '>=0', '>= 0.0.0', '<x', '1||', '^*', '~x', '0 - x', '>=0.0.0-0', '||', '=*']) : range()]
      want = rangeOf(texts[0]) ? rangeOf(texts[0]).range === '' : null
      break
    default: {
      const text = kind === 'exactly' && chance(0.7) ? pick(['', '=', 'v', '=v', '= ']) + version() : range()
      texts = [text, chance(0.05) ? anyVersion() : near(text)]
      const question = { matches: (range, version) => range.test(version), includes: includes(text), exactly }[kind]
      want = asked(texts[0], texts[1], question)
      // The upper bound of `1 - 2.0.9007199254740991` would be too large a number.
      if (typeof want === 'string') {
        row--
        continue
      }
    }
  }
  const line = { ask: ['npm', kind, ...texts], want }
  const why = known(kind, texts)
  if (why) line.known = why
  console.log(JSON.stringify(line))
}
