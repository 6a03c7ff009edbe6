"""A cloud endpoint on loopback that answers each question with what it was given: for contract tests.

with RecordedEndpoint() as endpoint:
    endpoint.will_answer(200, {...})
    ... ask endpoint.url
    endpoint.asked        # path and JSON of the last request
"""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

MAX_REQUEST_BYTES = 4 * 1024 * 1024


class RecordedEndpoint:
    """Nothing leaves this machine: it listens on a free port of 127.0.0.1 while the `with` lasts."""

    def __init__(self) -> None:
        self.asked: tuple[str, Any] | None = None
        self._status, self._body = 500, b"{}"
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                size = min(int(self.headers.get("content-length") or 0), MAX_REQUEST_BYTES)
                outer.asked = (self.path, _json(self.rfile.read(size)))
                self.send_response(outer._status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(outer._body)))
                self.end_headers()
                self.wfile.write(outer._body)

            def log_message(self, *_: object) -> None:
                """Requests are nobody's business."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def will_answer(self, status: int, body: object) -> None:
        """What the next questions get; `body` is text as it stands, or becomes JSON."""
        self._status = status
        self._body = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        self.asked = None

    def __enter__(self) -> "RecordedEndpoint":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)


def _json(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except ValueError:
        return None
