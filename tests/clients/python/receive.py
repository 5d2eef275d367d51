import base64
import hashlib
import hmac
import json
import os
import time

KEY = base64.b64decode(os.environ["FLAGTRAIL_SECRET"].removeprefix("whsec_"))
ids, positions = set(), set()  # keep them where they outlive a restart


def receive(headers, body):
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = "v1," + base64.b64encode(hmac.new(KEY, signed, hashlib.sha256).digest()).decode()
    fits = any(hmac.compare_digest(expected, given) for given in headers["webhook-signature"].split())
    if not fits or abs(time.time() - int(headers["webhook-timestamp"])) > 300:
        return 401, "not from Flagtrail, or too old"
    if headers["webhook-id"] in ids:
        return 200, "a repeat, dropped"
    previous = headers.get("x-flagtrail-previous")  # on ordered endpoints
    gap = f" after a gap: {previous} never came" if previous and previous not in positions else ""
    print(json.loads(body)["type"] + gap, flush=True)  # the work; only then is it seen
    ids.add(headers["webhook-id"])
    positions.add(headers["x-flagtrail-position"])
    return 200, "taken"


# A server around it.
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        status, said = receive(self.headers, self.rfile.read(int(self.headers["content-length"])))
        self.send_response(status)
        self.end_headers()
        self.wfile.write(said.encode())

    def log_message(self, *args):
        pass


server = ThreadingHTTPServer(("127.0.0.1", int(os.environ.get("PORT", "8000"))), Handler)
print(f"listening on {server.server_port}", flush=True)
server.serve_forever()
