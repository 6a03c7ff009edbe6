"""The OpenAI-compatible calls: any OpenAI client works, and the model's name is the use case.

The last user message becomes the use case's one text field. A streamed answer is the verified one, cut
into chunks: the verdict is the same, streamed or not. `chat_parameters.py` says which parameters count.
"""

import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

from services.api.body import parse_json
from services.api.chat_request import ChatRequest, read_chat
from services.api.messages import Headers, Request, Response, dump, respond
from services.api.native import decision_json, work
from services.runtime import Runtime
from services.values import Decision

CHUNK_CHARACTERS = 24
EVENT_STREAM = ((b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-store"))
NO_TOKENS = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
"""We bill answers, not tokens; asked for usage, a client gets a truthful nothing."""


async def chat(request: Request, runtime: Runtime) -> Response:
    """`POST /v1/chat/completions`, streamed or not."""
    started = time.monotonic()
    body = await request.body(runtime.settings.max_body_bytes, runtime.settings.body_timeout_s)
    asked = read_chat(parse_json(body, runtime.settings.max_json_depth), runtime.calls)
    call = runtime.calls.call(
        asked.usecase, asked.given, asked.context, request.id, request.known_caller, started, asked.expects()
    )
    decision = await work(call, runtime)
    headers: Headers = (
        (b"x-switchyard-route", decision.route.encode()),
        (b"x-switchyard-decision-id", decision.id.encode()),
        (b"x-switchyard-receipt", decision.receipt.encode()),
    )
    if asked.ignored:
        headers = (*headers, (b"x-switchyard-ignored", ", ".join(asked.ignored).encode()))
    text = asked.content(decision.output)
    if asked.stream:
        return Response(200, headers=(*EVENT_STREAM, *headers), stream=_chunks(asked, decision, text))
    return respond(_completion(asked, decision, text), 200, *headers)


async def models(request: Request, runtime: Runtime) -> Response:
    """`GET /v1/models`: the use cases, as models."""
    return respond({"object": "list", "data": [_model(name) for name in runtime.pipeline.use_cases]})


async def model(request: Request, runtime: Runtime) -> Response:
    """`GET /v1/models/{id}`."""
    (name,) = request.params
    return respond(_model(runtime.calls.usecase(name, "model").name))


def _completion(asked: ChatRequest, decision: Decision, text: str) -> dict[str, Any]:
    message = {"role": "assistant", "content": text, "refusal": None}
    choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
    return {
        **_frame("chat.completion", asked, decision),
        "choices": [choice],
        "usage": NO_TOKENS,
        "x_switchyard": decision_json(decision),
    }


async def _chunks(asked: ChatRequest, decision: Decision, text: str) -> AsyncIterator[bytes]:
    frame = _frame("chat.completion.chunk", asked, decision)
    yield _event({**frame, "choices": [_delta({"role": "assistant", "content": ""})]})
    for start in range(0, len(text), CHUNK_CHARACTERS):
        piece = text[start : start + CHUNK_CHARACTERS]
        yield _event({**frame, "choices": [_delta({"content": piece})]})
    provenance = {"x_switchyard": decision_json(decision)}
    yield _event({**frame, "choices": [_delta({}, "stop")], **provenance})
    if asked.include_usage:
        yield _event({**frame, "choices": [], "usage": NO_TOKENS, **provenance})
    yield b"data: [DONE]\n\n"


def _frame(kind: str, asked: ChatRequest, decision: Decision) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{decision.id}",
        "object": kind,
        "created": int(time.time()),
        "model": asked.usecase.name,
        "system_fingerprint": decision.versions.get("config"),
    }


def _delta(delta: Mapping[str, str], finish_reason: str | None = None) -> dict[str, Any]:
    return {"index": 0, "delta": dict(delta), "finish_reason": finish_reason, "logprobs": None}


def _event(value: Mapping[str, Any]) -> bytes:
    return b"data: " + dump(value) + b"\n\n"


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "switchyard"}
