"""What describes the service: its OpenAPI document, a page to read it with, and its metrics."""

import asyncio

from services.api.messages import Request, Response, dump
from services.api.openapi import openapi_document
from services.runtime import Runtime
from services.telemetry import CONTENT_TYPE

HTML = (b"content-type", b"text/html; charset=utf-8")
PAGE = b"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Switchyard API</title>
<link rel="stylesheet" href="/static_content/swagger-ui.css"></head>
<body><div id="swagger-ui"></div>
<script src="/static_content/swagger-ui-bundle.js"></script>
<script>SwaggerUIBundle({url: "/v1/openapi.json", dom_id: "#swagger-ui"});</script>
</body></html>
"""
"""Swagger UI from the copy that BentoML serves, so that it works offline and nobody counts visits."""


async def openapi(request: Request, runtime: Runtime) -> Response:
    """`GET /v1/openapi.json`."""
    use_cases = [prepared.usecase for prepared in runtime.pipeline.use_cases.values()]
    return Response(200, dump(openapi_document(use_cases)))


async def docs(request: Request, runtime: Runtime) -> Response:
    """`GET /v1/docs`."""
    return Response(200, PAGE, (HTML,))


async def front(request: Request, runtime: Runtime) -> Response:
    """`GET /`: to the docs. BentoML's own front page would load a tag manager."""
    return Response(307, b"", ((b"location", b"/v1/docs"),))


async def metrics(request: Request, runtime: Runtime) -> Response:
    """`GET /metrics`, all workers added up."""
    page = await asyncio.to_thread(runtime.telemetry.page)
    return Response(200, page, ((b"content-type", CONTENT_TYPE.encode()),))
