"""`/readyz` with a body: may traffic come, which configuration is served, and what is missing."""

import json
from typing import Any

from services.api.mount import Api

PATHS = frozenset({"/readyz"})


class Probes:
    """ASGI middleware in front of BentoML's routes; passes everything else on untouched."""

    def __init__(self, app: Any, api: Api) -> None:
        self._app = app
        self._api = api

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or scope["path"] not in PATHS:
            await self._app(scope, receive, send)
            return
        status, body = self._api.ready()
        content = json.dumps(body).encode()
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(content)).encode()),
            (b"cache-control", b"no-store"),
        ]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": content})
