"""A proxy that writes down what clients ask a gateway: requests as they came, and the status that was answered."""

import base64
import http.client
import http.server
import json
import re
import threading

# Fields that say how a body came, and not what the client wants.
OF_THE_WAY = {"content-length", "transfer-encoding", "connection", "keep-alive", "expect"}


class Recorder:
    """Listens on a port of its own, and passes everything on to the gateway."""

    def __init__(self, gateway, token):
        self.requests, self.without_metadata, self.lock = [], False, threading.Lock()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self):
                body = self.body()
                upstream = http.client.HTTPConnection(gateway, timeout=120)
                upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
                for name, value in self.headers.items():
                    if name.lower() not in OF_THE_WAY:
                        upstream.putheader(name, value)
                if body or self.command in ("PUT", "POST"):
                    upstream.putheader("Content-Length", str(len(body)))
                upstream.endheaders(body)
                response = upstream.getresponse()
                payload = response.read()
                if outer.without_metadata and self.path.startswith("/pypi/simple/"):
                    payload = re.sub(rb'"core-metadata":\{[^}]*\}', b'"core-metadata":false', payload)
                outer.note(self, body, response.status, token)
                self.wfile.write(f"HTTP/1.1 {response.status} {response.reason}\r\n".encode())
                for name, value in response.getheaders():
                    is_length = name.lower() == "content-length"
                    changed = is_length and self.command != "HEAD" and response.status not in (204, 304)
                    self.wfile.write(f"{name}: {len(payload) if changed else value}\r\n".encode())
                self.wfile.write(b"\r\n" + payload)
                self.wfile.flush()

            def body(self):
                if "chunked" in self.headers.get("Transfer-Encoding", ""):
                    pieces = []
                    while size := int(self.rfile.readline().split(b";")[0], 16):
                        pieces.append(self.rfile.read(size))
                        self.rfile.readline()
                    self.rfile.readline()
                    return b"".join(pieces)
                return self.rfile.read(int(self.headers.get("Content-Length", 0)))

            do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = answer

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.host = f"127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def note(self, request, body, status, token):
        basic = base64.b64encode(f"__token__:{token}".encode()).decode()

        def said(text):
            text = text.replace(self.host, "HOST").replace(basic, "BASIC").replace(token, "TOKEN")
            # yarn 1 writes its default registry into what it publishes, whatever the registry is.
            return re.sub(r"https?://registry\.[a-z.]+", "http://registry.example", text)

        headers = [[name.lower(), said(value)] for name, value in request.headers.items() if name.lower() not in OF_THE_WAY]
        try:
            text = body.decode()
            kept = said(text) if text.isprintable() or text.startswith("{") else None
        except UnicodeDecodeError:
            kept = None
        one = {"method": request.command, "path": said(request.path), "status": status, "headers": headers}
        if body:
            one["body"] = kept if kept is not None else {"base64": base64.b64encode(body).decode()}
        with self.lock:
            self.requests.append(one)

    def written(self, path, about):
        """Writes down what was asked since the last time, but for what a client merely asks again."""
        with self.lock:
            requests, self.requests = self.requests, []
        seen, lines = set(), [json.dumps(about)]
        for one in requests:
            line = json.dumps(one, ensure_ascii=False)
            # A publish may be sent twice; whatever is read twice is answered alike.
            if line not in seen or one["method"] not in ("GET", "HEAD"):
                seen.add(line)
                lines.append(line)
        path.write_text("\n".join(lines) + "\n")
