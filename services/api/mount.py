"""What BentoML mounts: it knows our paths, and hands every request to the dispatcher that `start` gives it.

Light on purpose: BentoML imports the service in its supervisor too, which answers nothing.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import BaseRoute, Mount, Route

ASGI = Callable[[Any, Any, Any], Awaitable[None]]
Ready = Callable[[], tuple[int, dict[str, Any]]]

OUTSIDE_V1 = ("/", "/docs", "/metrics", "/.well-known/jwks.json")
STARTING = {"ready": False, "reasons": ["starting"], "use_cases": {}}


class Api(Starlette):
    """A Starlette application by its routes, which BentoML reads to mount it; it dispatches by itself."""

    def __init__(self) -> None:
        self._dispatch: ASGI = PlainTextResponse("starting", 503)
        self._ready: Ready = lambda: (503, dict(STARTING))
        # Everything under /v1 is ours, so that an unknown path there gets our kind of 404.
        routes: list[BaseRoute] = [Mount("/v1", app=self)]
        routes += [Route(path, _never, methods=["GET"]) for path in OUTSIDE_V1]
        super().__init__(routes=routes)

    def start(self, dispatch: ASGI, ready: Ready) -> None:
        """From now on `dispatch` answers, and `ready` gives status and body of `/readyz`."""
        self._dispatch = dispatch
        self._ready = ready

    def ready(self) -> tuple[int, dict[str, Any]]:
        return self._ready()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await self._dispatch(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


async def _never(_: Any) -> Any:
    raise RuntimeError("Api answers by itself; its routes only tell BentoML what it serves")
