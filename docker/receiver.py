"""A webhook receiver for trying Flagtrail: prints what it is sent, one line a delivery, and answers 204.

It does not check signatures, which a receiver in production must: see "Receive webhooks" in the README.
"""

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

# The longest body that is read: a record's bound of 1 MiB, and room for what is around it.
BODY_BYTES_MAX = 2 * 1024 * 1024


class Receiver(BaseHTTPRequestHandler):
    """Answers every POST."""

    protocol_version = "HTTP/1.1"
    # Seconds after which a silent connection is closed.
    timeout = 60

    def do_POST(self):
        length = int(self.headers.get("content-length", 0))
        if not 0 <= length <= BODY_BYTES_MAX:
            self.close_connection = True
            self.send_response(413)
            self.send_header("content-length", "0")
            self.end_headers()
            return
        body = self.rfile.read(length)
        try:
            message = json.loads(body)
            said = f"{message.get('type', '')} {message.get('data', {}).get('log', '')}"
        except (ValueError, AttributeError):
            said = f"{length} bytes that are not a record"
        print(self.headers.get("webhook-id", "-"), said, flush=True)
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        """One line a delivery is enough."""


ThreadingHTTPServer(("", 8000), Receiver).serve_forever()
