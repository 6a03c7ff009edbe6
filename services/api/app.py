"""The ASGI app behind `/v1/*`: route, authenticate, hand over, answer. `mount.py` gives it the requests.

One visible table says which path takes which method, who may call it and who answers. Whatever goes
wrong ends as `{"error": …}`; nothing of a request reaches a log.
"""

import re
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from services.api import audit, documents, feedback, native, openai, reviews
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
    Endpoint("/v1/feedback", "caller", {"POST": feedback.give}),
    Endpoint("/v1/reviews", "reviewer", {"GET": reviews.listed}),
    Endpoint("/v1/reviews/{id}", "reviewer", {"POST": reviews.act}),
    Endpoint("/v1/decisions", "auditor", {"GET": audit.decisions}),
    Endpoint("/v1/budgets", "auditor", {"GET": audit.budgets}),
    Endpoint("/v1/rollouts", "auditor", {"GET": audit.rollouts}),
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


class Dispatcher:
    """Answers requests with one runtime."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def ready(self) -> tuple[int, dict[str, Any]]:
        """Status and body of `/readyz`. Ready with something missing is ready: answers say so themselves."""
        state = self._runtime.readiness()
        body = {
            "ready": state.ready,
            "reasons": list(state.reasons),
            "warnings": list(state.warnings),
            "use_cases": dict(state.use_cases),
        }
        return (200 if state.ready else 503), body

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
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
            response = unexpected(error, request.id, request.trace_id)
        if not request.body_done and request.method not in ("GET", "HEAD"):
            await drain(receive)
        took_s = time.perf_counter() - started
        try:
            await _send(response, request, send)
        finally:  # counting is nothing that a caller should wait for
            path = endpoint.path if endpoint else OTHER
            self._runtime.telemetry.request(path, response.status, took_s)

    async def _answer(self, request: Request, endpoint: Endpoint | None) -> Response:
        if endpoint is None:
            raise NotFound("there is no such path; /v1/docs lists them")
        handler = endpoint.handlers.get(request.method)
        if handler is None:
            allowed = tuple(endpoint.handlers)
            raise MethodNotAllowed(f"this path takes {', '.join(allowed)}", allowed)
        headers = request.headers
        request.trace_id = trace_id(headers.get("traceparent"))
        if endpoint.role is not None:
            role = None if endpoint.role == ANY_ROLE else endpoint.role
            authorization = headers.get("authorization")
            request.caller = await self._runtime.ingress.admit(authorization, request.address, role)
        return await handler(request, self._runtime)


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
    async with aclosing(response.stream) as stream:  # so that its work ends with it, whatever happens here
        async for chunk in stream:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
    await send({"type": "http.response.body", "body": b""})
