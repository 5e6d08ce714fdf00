#!/usr/bin/env bash
# npm's `semver`, called strictly, makes a range of more than its documented grammar: a star that is stuck to a version, and build
# metadata that stands alone, are taken away, and what is left is the range, so `1.2.*3` is 1.2.3 and `+b` is every version. And a
# side of `||` that is `*` takes the other sides with it: 1.0.0-rc.1, which is in `1.0.0-rc.1`, is not in `* || 1.0.0-rc.1`.
# Guess before: the first three are refused, and a union never has less than one of its sides. Seen with: semver 7.8.6, whose README
# has the grammar under "Range Grammar".
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
npm install --silent --no-audit --no-fund --prefix "$dir" semver@7.8.6
NODE_PATH=$dir/node_modules node - << 'JS'
const semver = require('semver')
const ranges = [['1.2.3*', '1.2.3'], ['1.2.*3', '1.2.3'], ['+b', ''], ['1.2.3 +b', '1.2.3']]
const members = [['1.0.0-rc.1', true], ['* || 1.0.0-rc.1', false], ['>=0 || 1.0.0-rc.1', false], ['>=v0.0.0 || 1.0.0-rc.1', true]]
let changed = false
for (const [text, before] of ranges) {
  const now = (() => { try { return new semver.Range(text).range } catch { return null } })()
  console.log(`'${text}' is the range '${now}'`)
  changed ||= now !== before
}
for (const [text, before] of members) {
  const now = semver.satisfies('1.0.0-rc.1', text)
  console.log(`1.0.0-rc.1 in '${text}': ${now}`)
  changed ||= now !== before
}
process.exit(changed ? 1 : 0)
JS
