"""A loopback relay that keeps what passed: the demo's proof of what left the machine.

It stands between the orchestrator and the stand-in model, as a network tap would, and keeps the
bytes of the last request bodies. Nothing else uses it.
"""

import threading
import time
from collections import deque
from types import TracebackType

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from flows.errors import ProcessError

KEPT = 20
UPSTREAM_TIMEOUT_S = 60.0


class Relay:
    """Forwards POST requests from `port` to `upstream`; `seen` holds the last bodies, oldest first."""

    def __init__(self, port: int, upstream: str) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.seen: deque[bytes] = deque(maxlen=KEPT)
        self._upstream = upstream
        self._port = port
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None

    async def _forward(self, request: Request) -> Response:
        body = await request.body()
        self.seen.append(body)
        try:
            async with httpx.AsyncClient(timeout=UPSTREAM_TIMEOUT_S) as client:
                answer = await client.post(
                    self._upstream + request.url.path,
                    content=body,
                    headers={"content-type": "application/json"},
                )
        except httpx.HTTPError:
            return Response(status_code=httpx.codes.BAD_GATEWAY)
        return Response(answer.content, answer.status_code, media_type="application/json")

    def __enter__(self) -> "Relay":
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> "Relay":
        """Listen, also again after `stop`. Raises `ProcessError`."""
        app = Starlette(routes=[Route("/{path:path}", self._forward, methods=["POST"])])
        config = uvicorn.Config(
            app, host="127.0.0.1", port=self._port, log_level="critical", access_log=False
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        until = time.monotonic() + 10
        while not server.started:
            if time.monotonic() > until or not thread.is_alive():
                raise ProcessError(f"the relay at {self.url} did not start")
            time.sleep(0.05)
        self._server, self._thread = server, thread
        return self

    def stop(self) -> None:
        """Stop listening, as an endpoint that is gone; safe to call twice."""
        if self._server is not None and self._thread is not None:
            self._server.should_exit = True
            self._thread.join(timeout=10)
