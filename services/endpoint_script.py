"""Answers of a cloud endpoint that any use case must handle, made from its own safe default. Pure."""

import json
from collections.abc import Mapping
from typing import Any

from feature_checks.contract_cases import Recorded
from feature_checks.usecase import UseCase

MODEL = "contract-model"


def scripted(usecase: UseCase) -> dict[str, Recorded]:
    """What it says -> the answer and what must come of it; the first is a good one."""
    good = dict(usecase.safe_default)
    first = next(iter(good))
    cases: dict[str, tuple[Any, int, Any]] = {
        "a good answer": ("answered", 200, _completion(good)),
        "a field more": ("bad_schema", 200, _completion({**good, "unasked": "x"})),
        "a field less": ("bad_schema", 200, _completion({k: v for k, v in good.items() if k != first})),
        "another type": ("bad_schema", 200, _completion({**good, first: ["x"]})),
        "prose": ("bad_json", 200, _completion("Of course! Here it is.")),
        "JSON in a fence": ("bad_json", 200, _completion(f"```json\n{json.dumps(good)}\n```")),
        "no content": ("empty", 200, _completion(None)),
        "cut off": ("truncated", 200, _completion(good, finish="length")),
        "a refusal": ("refused", 200, _completion(None, refusal="I can't help with that.")),
        "a content filter": ("refused", 200, _completion(None, finish="content_filter")),
        "another model": ("wrong_model", 200, _completion(good, model="quite-another")),
        "no completion": ("bad_response", 200, {"message": "hello"}),
        "no JSON at all": ("bad_response", 200, "<html>gateway</html>"),
        "a server error": ("http_500", 500, {"error": {"message": "x"}}),
        "too many requests": ("http_429", 429, {"error": {"message": "x"}}),
    }
    field = usecase.output[usecase.label]
    if field.type == "string" and usecase.allowed(usecase.label):
        unknown = {**good, usecase.label: "no such label"}
        cases["an unknown label"] = ("bad_schema", 200, _completion(unknown))
    asked = {name: _value(spec.type) for name, spec in usecase.input.items()}
    return {
        what: Recorded(about="scripted", model=MODEL, input=asked, status=status, body=body, expect=expect)
        for what, (expect, status, body) in cases.items()
    }


def _completion(
    content: Mapping[str, Any] | str | None,
    finish: str = "stop",
    model: str = MODEL,
    refusal: str | None = None,
) -> dict[str, Any]:
    text = json.dumps(content) if isinstance(content, Mapping) else content
    message = {"role": "assistant", "content": text, "refusal": refusal}
    return {
        "id": "chatcmpl-contract",
        "object": "chat.completion",
        "created": 1,
        "model": model,
        "choices": [{"index": 0, "message": message, "finish_reason": finish}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
    }


def _value(kind: str) -> object:
    values = {"string": "a question", "number": 1.0, "integer": 1, "boolean": True}
    return values.get(kind, "2026-01-01T00:00:00Z")
