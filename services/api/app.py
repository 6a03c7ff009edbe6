"""The ASGI app behind `/v1/*`: route, authenticate, hand over, answer. Mounted by the orchestrator.

One visible table says which path takes which method, who may call it and who answers. Whatever goes
wrong ends as `{"error": …}`; nothing of a request reaches a log.
"""

import re
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any

from starlette.applications import Starlette
from starlette.routing import BaseRoute, Mount, Route

from services.api import documents, native, openai
from services.api.body import ClientGoneError, drain
from services.api.errors import error_response, unexpected
from services.api.messages import Request, Response
from services.errors import MethodNotAllowed, NotFound, ServiceError
from services.ingress import trace_id
from services.runtime import Runtime

Handler = Callable[[Request, Runtime], Awaitable[Response]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

ANY_ROLE = "any"
PUBLIC = None


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One path: its methods' handlers, and the role that a key needs there."""

    path: str
    role: str | None
    handlers: Mapping[str, Handler]


ENDPOINTS = (
    Endpoint("/v1/decide", "caller", {"POST": native.decide}),
    Endpoint("/v1/chat/completions", "caller", {"POST": openai.chat}),
    Endpoint("/v1/models", ANY_ROLE, {"GET": openai.models}),
    Endpoint("/v1/models/{id}", ANY_ROLE, {"GET": openai.model}),
    Endpoint("/v1/decisions/{id}", "auditor", {"GET": native.decision}),
    Endpoint("/v1/receipts/verify", ANY_ROLE, {"POST": native.verify}),
    Endpoint("/.well-known/jwks.json", PUBLIC, {"GET": native.jwks}),
    Endpoint("/v1/openapi.json", PUBLIC, {"GET": documents.openapi}),
    Endpoint("/v1/docs", PUBLIC, {"GET": documents.docs}),
    Endpoint("/docs", PUBLIC, {"GET": documents.docs}),
    Endpoint("/", PUBLIC, {"GET": documents.front}),
    Endpoint("/metrics", PUBLIC, {"GET": documents.metrics}),
)
OTHER = "other"

_COMMON = ((b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff"))
_EXACT = {endpoint.path: endpoint for endpoint in ENDPOINTS if "{" not in endpoint.path}
_PATTERNS = tuple(
    (re.compile(re.sub(r"\\{\w+\\}", "([^/]{1,100})", re.escape(endpoint.path))), endpoint)
    for endpoint in ENDPOINTS
    if "{" in endpoint.path
)


class Api(Starlette):
    """A Starlette application by its routes, which BentoML reads to mount it; it dispatches by itself."""

    def __init__(self) -> None:
        self._runtime: Runtime | None = None
        # Everything under /v1 is ours, so that an unknown path there gets our kind of 404.
        routes: list[BaseRoute] = [Mount("/v1", app=self)]
        routes += [Route(path, _never, methods=["GET"]) for path in _EXACT if not path.startswith("/v1")]
        super().__init__(routes=routes)

    def start(self, runtime: Runtime) -> None:
        """From now on answer with this runtime."""
        self._runtime = runtime

    def ready(self) -> tuple[int, dict[str, Any]]:
        """Status and body of `/readyz`. Ready with something missing is ready: answers say so themselves."""
        if self._runtime is None:
            return 503, {"ready": False, "reasons": ["starting"], "use_cases": {}}
        state = self._runtime.readiness()
        body = {"ready": state.ready, "reasons": list(state.reasons), "use_cases": dict(state.use_cases)}
        return (200 if state.ready else 503), body

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await super().__call__(scope, receive, send)
            return
        started = time.perf_counter()
        request = Request(scope, receive)
        endpoint = _find(request)
        try:
            response = await self._answer(request, endpoint)
        except ServiceError as error:
            response = error_response(error, request.id)
        except ClientGoneError:
            return
        except Exception as error:  # noqa: BLE001  — the last line: a caller gets our 500, never a traceback
            response = unexpected(error, request.id)
        if not request.body_done and request.method not in ("GET", "HEAD"):
            await drain(receive)
        if self._runtime is not None:
            path = endpoint.path if endpoint else OTHER
            self._runtime.telemetry.request(path, response.status, time.perf_counter() - started)
        await _send(response, request, send)

    async def _answer(self, request: Request, endpoint: Endpoint | None) -> Response:
        runtime = self._runtime
        if endpoint is None or runtime is None:
            raise NotFound("there is no such path; /v1/docs lists them")
        handler = endpoint.handlers.get(request.method)
        if handler is None:
            allowed = tuple(endpoint.handlers)
            raise MethodNotAllowed(f"this path takes {', '.join(allowed)}", allowed)
        headers = request.headers
        request.trace_id = trace_id(headers.get("traceparent"))
        if endpoint.role is not None:
            role = None if endpoint.role == ANY_ROLE else endpoint.role
            request.caller = runtime.ingress.admit(headers.get("authorization"), request.address, role)
        return await handler(request, runtime)


def _find(request: Request) -> Endpoint | None:
    exact = _EXACT.get(request.path)
    if exact is not None:
        return exact
    for pattern, endpoint in _PATTERNS:
        if found := pattern.fullmatch(request.path):
            request.params = found.groups()
            return endpoint
    return None


async def _send(response: Response, request: Request, send: Send) -> None:
    headers = [*response.headers, (b"x-request-id", request.id.encode())]
    headers += [pair for pair in _COMMON if all(pair[0] != name for name, _ in response.headers)]
    if response.stream is None:
        headers.append((b"content-length", str(len(response.body)).encode()))
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    if response.stream is None:
        await send({"type": "http.response.body", "body": response.body})
        return
    async for chunk in response.stream:
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def _never(_: Any) -> Any:
    raise RuntimeError("Api answers by itself; its routes only tell BentoML what it serves")
