"""Errors on the wire: `{"error":{"type","message","request_id"}}` with the right status, never the input."""

import json
import logging
import math
import traceback
from collections.abc import Mapping
from typing import Any

from services.api.messages import JSON_TYPE, Headers, Response, dump
from services.errors import (
    Conflict,
    InputError,
    MethodNotAllowed,
    ServiceError,
    TooManyRequests,
    Unauthorized,
)

log = logging.getLogger(__name__)

MALFORMED_STATUS = 400


def error_response(error: ServiceError, request_id: str) -> Response:
    """What the caller gets for an error that was raised on purpose."""
    malformed = isinstance(error, InputError) and error.malformed
    status = MALFORMED_STATUS if malformed else error.status
    return _response(status, error.type, error.message, request_id, _headers(error))


def unexpected(error: Exception, request_id: str, trace_id: str | None = None) -> Response:
    """A 500. The log gets the class and where it was raised; the text might hold the input, so not that."""
    frames = traceback.extract_tb(error.__traceback__)
    where = " <- ".join(f"{frame.filename}:{frame.lineno}" for frame in reversed(frames[-6:]))
    name = type(error).__name__
    log.error("request %s (trace %s) failed unexpectedly: %s at %s", request_id, trace_id, name, where)
    message = "something went wrong on our side; the request id finds it in our log"
    return _response(500, "internal_error", message, request_id, ())


def error_body(error: Exception, request_id: str, trace_id: str | None = None) -> Mapping[str, Any]:
    """The same as a value, for where a status has been sent already."""
    body = (
        error_response(error, request_id)
        if isinstance(error, ServiceError)
        else unexpected(error, request_id, trace_id)
    ).body
    value: Mapping[str, Any] = json.loads(body)
    return value


def _response(status: int, type_: str, message: str, request_id: str, headers: Headers) -> Response:
    body = dump({"error": {"type": type_, "message": message, "request_id": request_id}})
    return Response(status, body, (JSON_TYPE, *headers))


def _headers(error: ServiceError) -> Headers:
    if isinstance(error, TooManyRequests | Conflict):
        return ((b"retry-after", str(max(1, math.ceil(error.retry_after_s))).encode()),)
    if isinstance(error, Unauthorized):
        return ((b"www-authenticate", b"Bearer"),)
    if isinstance(error, MethodNotAllowed):
        return ((b"allow", ", ".join(error.allowed).encode()),)
    return ()
