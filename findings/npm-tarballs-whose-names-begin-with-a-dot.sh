#!/usr/bin/env bash
# A package's tarball that was made with `tar czf box.tgz ./package` has names that begin with `./package/`. Its clients take away one
# part of each name, which is the dot: npm ends with ENOENT, because it finds no package.json; pnpm and yarn say that all went well, and
# have installed a package that is called like the file, with the real one in a directory `package` of it.
# Guess before: a leading `./` makes no difference, as it makes none to tar. Seen with: npm 11.6.2, pnpm 10.20.0, yarn 1.22.22, GNU tar.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
export HOME=$dir
npm install --silent --no-audit --no-fund --prefix tools npm@11.6.2 pnpm@10.20.0 yarn@1.22.22
mkdir package
echo '{"name": "box", "version": "1.0.0"}' > package/package.json
tar czf plain.tgz package
tar czf dotted.tgz ./package

# What a client has installed of a tarball: where the package's own package.json is, or how the client ended.
had() {
  local client=$1 file=$2 project
  shift 2
  project=$(mktemp -d "$dir/project.XXXXXX")
  echo '{"name": "x", "version": "1.0.0"}' > "$project/package.json"
  local code=0
  (cd "$project" && "$dir/tools/node_modules/.bin/$client" "$@" "file:$dir/$file" > "$project/said" 2>&1) || code=$?
  local found
  found=$(cd "$project" && find -L node_modules -path node_modules/.pnpm -prune -o -name package.json -print 2> /dev/null | sort | tr '\n' ' ')
  echo "exit $code ${found% }"
}

changed=0
saw() {
  local now=$1 before=$2
  shift 2
  echo "$*: $now"
  [ "$now" = "$before" ] || { echo "  that was: $before"; changed=1; }
}
for client in "npm install --offline --no-audit --no-fund" "pnpm add --offline" "yarn add --offline"; do
  read -r name words <<< "$client"
  # shellcheck disable=SC2086
  saw "$(had "$name" plain.tgz $words)" "exit 0 node_modules/box/package.json" "$name, package/"
done
saw "$(had npm dotted.tgz install --offline --no-audit --no-fund)" "exit 254 " "npm, ./package/"
saw "$(had pnpm dotted.tgz add --offline)" "exit 0 node_modules/dotted.tgz/package/package.json" "pnpm, ./package/"
saw "$(had yarn dotted.tgz add --offline)" "exit 0 node_modules/dotted.tgz/package/package.json" "yarn, ./package/"
exit "$changed"
