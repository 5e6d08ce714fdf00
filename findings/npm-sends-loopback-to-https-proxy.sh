#!/usr/bin/env bash
# npm and pnpm send requests to http://127.0.0.1 through the proxy in https_proxy, and bun through the one in http_proxy: none of them
# leaves the machine's own addresses out, so that a registry on loopback is not reached behind a company's proxy until no_proxy names it.
# Guess before: https_proxy is for https addresses, as it is for curl, and loopback is never asked for through a proxy.
# Seen with: npm 11.19.1, pnpm 12.21.0 and bun 1.4.5 (Linux x64). curl asks the registry itself.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"; [ -z "${server:-}" ] || kill "$server" 2> /dev/null' EXIT
export HOME="$dir"
unset http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY
mkdir "$dir/clients" "$dir/bun" "$dir/app"
(cd "$dir/clients" && echo '{"private":true}' > package.json && npm install --no-audit --no-fund --loglevel=error --ignore-scripts npm@11.19.1 pnpm@12.21.0)
(cd "$dir/bun" && npm pack --silent @oven/bun-linux-x64@1.4.5 > /dev/null && tar xzf ./*.tgz)
cat > "$dir/server.py" << 'PY'
import http.server, json, sys, threading


class Answers(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        name = "proxy" if self.server is proxy else "registry"
        with open(sys.argv[1] + "/seen", "a") as seen:
            seen.write(name + "\n")
        self.send_response(404)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args):
        pass


registry, proxy = (http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers) for _ in range(2))
threading.Thread(target=registry.serve_forever, daemon=True).start()
with open(sys.argv[1] + "/ports", "w") as ports:
    ports.write(f"{registry.server_port} {proxy.server_port}\n")
proxy.serve_forever()
PY
python3 "$dir/server.py" "$dir" &
server=$!
until [ -s "$dir/ports" ]; do sleep 0.1; done
read -r registry proxy < "$dir/ports"
cd "$dir/app"
echo '{"name":"app","version":"1.0.0"}' > package.json
echo "registry=http://127.0.0.1:$registry/" > .npmrc
changed=0
asked() { # what it is, the variable, what was seen, the command
    : > "$dir/seen"
    env "$2=http://127.0.0.1:$proxy" timeout 60 "${@:4}" > /dev/null 2>&1 || true
    now=$(sort -u "$dir/seen" | paste -sd ' ')
    echo "$1 with $2: asked the $now"
    [ "$now" = "$3" ] || changed=1
}
asked curl https_proxy registry curl -s "http://127.0.0.1:$registry/tiny"
asked npm https_proxy proxy node "$dir/clients/node_modules/npm/bin/npm-cli.js" install tiny
asked pnpm https_proxy proxy "$dir/clients/node_modules/.bin/pnpm" add tiny
asked bun https_proxy registry "$dir/bun/package/bin/bun" add tiny
asked bun http_proxy proxy "$dir/bun/package/bin/bun" add tiny
exit "$changed"
