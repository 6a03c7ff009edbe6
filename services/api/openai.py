"""The OpenAI-compatible calls: any OpenAI client works, and the model's name is the use case.

The last user message becomes the use case's one text field. A streamed answer is the verified one, cut
into chunks, unless the use case lets it go out while it is written (`streaming.py`): the verdict is the same,
streamed or not. `chat_parameters.py` says which parameters count.
"""

from collections.abc import AsyncGenerator
from typing import Any

from services.api.body import parse_json
from services.api.chat_request import ChatRequest, read_chat
from services.api.chunks import (
    EVENT_STREAM,
    NO_TOKENS,
    chunk_frame,
    first_chunk,
    frame,
    last_chunks,
    text_chunks,
)
from services.api.forced import forced_variants
from services.api.messages import Headers, Request, Response, respond
from services.api.native import decision_json, work
from services.api.streaming import stream_chat
from services.runtime import Runtime
from services.values import Decision


async def chat(request: Request, runtime: Runtime) -> Response:
    """`POST /v1/chat/completions`, streamed or not."""
    body = await request.body(runtime.settings.max_body_bytes, runtime.settings.body_timeout_s)
    asked = read_chat(parse_json(body, runtime.settings.max_json_depth), runtime.calls)
    call = runtime.calls.call(
        asked.usecase, asked.given, asked.context, request.id, request.known_caller, request.started,
        asked.expects(), forced_variants(request.headers, request.known_caller),
    )  # fmt: skip
    ignored: Headers = ()
    if asked.ignored:
        ignored = ((b"x-switchyard-ignored", ", ".join(asked.ignored).encode()),)
    if asked.stream and asked.incremental:
        found = await stream_chat(request, runtime, asked, call, ignored)
        if isinstance(found, Response):
            return found
        decision = found
    else:
        decision = await work(call, runtime)
    headers: Headers = (
        (b"x-switchyard-route", decision.route.encode()),
        (b"x-switchyard-decision-id", decision.id.encode()),
        (b"x-switchyard-receipt", decision.receipt.encode()),
        *ignored,
    )
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
        **frame("chat.completion", asked, decision.id, decision.versions.get("config")),
        "choices": [choice],
        "usage": NO_TOKENS,
        "x_switchyard": decision_json(decision),
    }


async def _chunks(asked: ChatRequest, decision: Decision, text: str) -> AsyncGenerator[bytes, None]:
    shared = chunk_frame(asked, decision.id, decision.versions.get("config"))
    yield first_chunk(shared)
    for chunk in (*text_chunks(shared, text), *last_chunks(shared, asked, decision)):
        yield chunk


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "switchyard"}
