"""The chunks of a streamed chat completion, as OpenAI writes them."""

import time
from collections.abc import Iterator, Mapping
from typing import Any

from services.api.chat_request import ChatRequest
from services.api.messages import dump
from services.api.native import decision_json
from services.values import Decision

CHUNK_CHARACTERS = 24
EVENT_STREAM = ((b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-store"))
NO_TOKENS = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
"""We bill answers, not tokens; asked for usage, a client gets a truthful nothing."""

DONE = b"data: [DONE]\n\n"
"""Ends an answer. What ends without it is none."""

Frame = Mapping[str, Any]


def frame(kind: str, asked: ChatRequest, decision_id: str, version: str | None) -> Frame:
    """What a completion, or each of its chunks, says of itself."""
    return {
        "id": f"chatcmpl-{decision_id}",
        "object": kind,
        "created": int(time.time()),
        "model": asked.usecase.name,
        "system_fingerprint": version,
    }


def chunk_frame(asked: ChatRequest, decision_id: str, version: str | None) -> Frame:
    return frame("chat.completion.chunk", asked, decision_id, version)


def first_chunk(shared: Frame) -> bytes:
    return _chunk(shared, {"role": "assistant", "content": ""})


def text_chunk(shared: Frame, text: str) -> bytes:
    return _chunk(shared, {"content": text})


def text_chunks(shared: Frame, text: str) -> Iterator[bytes]:
    """A text that is there as a whole, in pieces."""
    for start in range(0, len(text), CHUNK_CHARACTERS):
        yield text_chunk(shared, text[start : start + CHUNK_CHARACTERS])


def last_chunks(shared: Frame, asked: ChatRequest, decision: Decision) -> Iterator[bytes]:
    """The end of an answer, with its provenance: only after the verdict on the whole, and its record."""
    provenance = {"x_switchyard": decision_json(decision)}
    yield _chunk({**shared, **provenance}, {}, "stop")
    if asked.include_usage:
        yield event({**shared, "choices": [], "usage": NO_TOKENS, **provenance})
    yield DONE


def event(value: Mapping[str, Any]) -> bytes:
    return b"data: " + dump(value) + b"\n\n"


def _chunk(shared: Frame, delta: Mapping[str, str], finish_reason: str | None = None) -> bytes:
    choice = {"index": 0, "delta": dict(delta), "finish_reason": finish_reason, "logprobs": None}
    return event({**shared, "choices": [choice]})
