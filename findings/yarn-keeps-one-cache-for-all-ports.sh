#!/usr/bin/env bash
# yarn 4 keeps what registries say of packages by the name of their host alone: two registries at two ports of one host share one cache, so
# that an exact version is taken from what the other one said without a request, and the other's ETag is sent with requests. Where a registry
# answers 304, because its own state has the same ETag, the other registry's version is installed, from there, and is in the lock file.
# Guess before: the address of the registry, port and path included, is what a cache of its answers goes by.
# Seen with: yarn 4.18.1 (@yarnpkg/cli-dist), plugin-npm's npmHttpUtils.getPackageMetadata.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"; [ -z "${server:-}" ] || kill "$server" 2> /dev/null' EXIT
export HOME="$dir"
unset http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY
mkdir "$dir/client"
(cd "$dir/client" && echo '{"private":true}' > package.json && npm install --no-audit --no-fund --loglevel=error --ignore-scripts @yarnpkg/cli-dist@4.18.1)
cat > "$dir/server.py" << 'PY'
import base64, hashlib, http.server, io, json, sys, tarfile, threading


def tarball(version):
    text = json.dumps({"name": "tiny", "version": version}).encode()
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        info = tarfile.TarInfo("package/package.json")
        info.size = len(text)
        archive.addfile(info, io.BytesIO(text))
    return out.getvalue()


class Answers(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        one = self.server is first
        versions = ["1.0.0", "1.1.0"] if one else ["1.0.0"]
        etag = self.headers.get("If-None-Match")
        with open(sys.argv[1] + "/seen", "a") as seen:
            seen.write(f"{'first' if one else 'second'} {self.path.split('/')[-1]} {etag}\n")
        base = f"http://127.0.0.1:{self.server.server_port}/tiny/-/tiny-"
        if self.path.endswith(".tgz"):
            self.answer(200, tarball(self.path.split("-")[-1][:-4]))
        elif etag == '"state-1"':
            # Each of them has one state, and calls it so.
            self.answer(304, b"")
        else:
            entry = lambda version: {
                "name": "tiny",
                "version": version,
                "dist": {
                    "tarball": f"{base}{version}.tgz",
                    "integrity": "sha512-" + base64.b64encode(hashlib.sha512(tarball(version)).digest()).decode(),
                },
            }
            time = {version: "2020-01-01T00:00:00.000Z" for version in versions}
            document = {"name": "tiny", "versions": {v: entry(v) for v in versions}, "dist-tags": {"latest": versions[-1]}, "time": time}
            self.answer(200, json.dumps(document).encode())

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("ETag", '"state-1"')
        self.send_header("Cache-Control", "no-cache")
        if status == 200:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


first, second = (http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers) for _ in range(2))
threading.Thread(target=first.serve_forever, daemon=True).start()
with open(sys.argv[1] + "/ports", "w") as ports:
    ports.write(f"{first.server_port} {second.server_port}\n")
second.serve_forever()
PY
python3 "$dir/server.py" "$dir" &
server=$!
until [ -s "$dir/ports" ]; do sleep 0.1; done
read -r first second < "$dir/ports"
yarn() { node "$dir/client/node_modules/@yarnpkg/cli-dist/bin/yarn.js" "$@"; }
added() { # the port, the folder, the range; what is in the lock file then
    mkdir "$dir/$2"
    cd "$dir/$2"
    echo '{"name":"app","version":"1.0.0"}' > package.json
    touch yarn.lock
    printf 'npmRegistryServer: "http://127.0.0.1:%s"\nunsafeHttpWhitelist: ["127.0.0.1"]\nenableTelemetry: false\nenableGlobalCache: false\n' "$1" > .yarnrc.yml
    : > "$dir/seen"
    yarn add "tiny@$3" > log 2>&1 || cat log
    sed -n 's/.*resolution: "tiny@npm:\(.*\)"/\1/p' yarn.lock
}
echo "first registry, which has 1.0.0 and 1.1.0: $(added "$first" a '^1.0.0')"
got=$(added "$second" b '^1.0.0')
echo "second registry, which has 1.0.0 alone: $got; requests:"
sed 's/^/  /' "$dir/seen"
sent=$(grep -c '^second tiny "state-1"' "$dir/seen" || true)
added "$second" c 1.0.0 > /dev/null
documents=$(grep -c '^second tiny ' "$dir/seen" || true)
echo "second registry, exactly 1.0.0: $documents requests for what it says of tiny"
[ "${got%%::*}" = 1.1.0 ] && [ "$sent" -gt 0 ] && [ "$documents" = 0 ]
