"""Schemas of the OpenAPI document that do not depend on any use case, or on its name alone."""

from collections.abc import Mapping, Sequence
from typing import Any

from services.api.calls import MAX_REFERENCE, MAX_WORD
from services.api.chat_parameters import IGNORED, MAX_TOKENS
from services.api.chat_request import MAX_MESSAGES, ROLES
from services.receipt_check import MAX_CHARACTERS

Schema = Mapping[str, Any]
_WORD = "^[A-Za-z][A-Za-z0-9_-]{0,31}$"


def ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def obj(properties: Schema, required: Sequence[str], closed: bool = True) -> dict[str, Any]:
    schema = {"type": "object", "properties": dict(properties), "required": list(required)}
    return {**schema, "additionalProperties": False} if closed else schema


def decide_request(name: str, fields: Schema) -> dict[str, Any]:
    """The body of `POST /v1/decide` for one use case."""
    properties = {"use_case": {"const": name}, "input": fields, "context": ref("Context")}
    return obj(properties, ("use_case", "input"))


def decision(outputs: Sequence[Schema], names: Sequence[str]) -> dict[str, Any]:
    """What `POST /v1/decide` answers."""
    properties: dict[str, Any] = {
        "id": {"type": "string"},
        "use_case": {"type": "string", "enum": list(names)},
        "output": {"oneOf": list(outputs)} if len(outputs) > 1 else dict(outputs[0]) if outputs else {},
        "route": {
            "type": "string",
            "description": "rules, cache, local, cloud/<endpoint>, merge, stale or safe_default",
        },
        "confidence": {"type": ["number", "null"]},
        "degraded": {"type": "boolean", "description": "something that should have answered could not"},
        "reasons": {"type": "array", "items": {"type": "string"}},
        "review_id": {"type": ["string", "null"]},
        "versions": {"type": "object", "additionalProperties": {"type": "string"}},
        "receipt": {"type": "string", "description": "compact JWS, EdDSA; keys at /.well-known/jwks.json"},
    }
    return obj(properties, tuple(properties))


def chat_request(names: Sequence[str]) -> dict[str, Any]:
    """The part of OpenAI's request that we honour; other parameters are refused."""
    properties = {
        "model": {"type": "string", "enum": list(names)},
        "messages": {"type": "array", "minItems": 1, "maxItems": MAX_MESSAGES, "items": ref("ChatMessage")},
        "stream": {"type": ["boolean", "null"]},
        "stream_options": {
            "type": ["object", "null"],
            "properties": {"include_usage": {"type": ["boolean", "null"]}},
            "additionalProperties": False,
        },
        "user": {"type": ["string", "null"], "minLength": 1, "maxLength": MAX_REFERENCE},
        "metadata": {
            "type": ["object", "null"],
            "properties": {"session": _REFERENCE, "residency": _CHOICE, "purpose": _CHOICE},
            "additionalProperties": False,
        },
        "n": {"type": ["integer", "null"], "enum": [1, None]},
        "response_format": _RESPONSE_FORMAT,
        **dict.fromkeys(MAX_TOKENS, _MAX_TOKENS),
        **{name: {"description": "ignored: it means nothing here"} for name in IGNORED},
    }
    return obj(properties, ("model", "messages"))


_RESPONSE_FORMAT: Schema = {
    "description": "the content as JSON: of the output's fields those that the schema names, or all",
    "oneOf": [
        {"type": "null"},
        obj({"type": {"enum": ["text", "json_object"]}}, ("type",)),
        obj(
            {
                "type": {"const": "json_schema"},
                "json_schema": obj(
                    {
                        "name": {"type": "string", "minLength": 1, "maxLength": 64, "pattern": "\\S"},
                        "description": {},
                        "strict": {},
                        "schema": {"type": "object", "description": "a bounded subset of Draft 2020-12"},
                    },
                    ("name", "schema"),
                ),
            },
            ("type", "json_schema"),
        ),
    ],
}
_MAX_TOKENS: Schema = {
    "type": ["integer", "null"],
    "minimum": 1,
    "maximum": 9223372036854775807,
    "description": "a model's answer of more words than this is refused, never cut",
}
_REFERENCE: Schema = {
    "type": ["string", "null"],
    "minLength": 1,
    "maxLength": MAX_REFERENCE,
    "pattern": "\\S",
}
_CHOICE: Schema = {"type": ["string", "null"], "minLength": 1, "maxLength": MAX_WORD, "pattern": _WORD}

IDEMPOTENCY_KEY: Schema = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "A repeated request with the same key and body gets the first answer again",
    "schema": {"type": "string", "pattern": "^[\\x21-\\x7e]{1,200}$"},
}
TRACEPARENT: Schema = {
    "name": "traceparent",
    "in": "header",
    "required": False,
    "description": "W3C trace context; ignored when malformed",
    "schema": {"type": "string"},
}
ID: Schema = {"name": "id", "in": "path", "required": True, "schema": {"type": "string", "maxLength": 100}}
ANSWER_HEADERS: Schema = {
    f"x-switchyard-{name}": {"schema": {"type": "string"}}
    for name in ("route", "decision-id", "receipt", "ignored")
}

VERIFY_REQUEST: Schema = obj(
    {
        "receipt": {"type": "string", "minLength": 1, "maxLength": MAX_CHARACTERS, "pattern": "\\S"},
        "id": {"type": "string", "minLength": 1, "maxLength": 64, "pattern": "\\S"},
        "output": {"type": "object"},
        "request": {"type": "object"},
        "max_age_s": {"type": "number", "minimum": 0, "maximum": 10**10},
    },
    ("receipt",),
)

FEEDBACK_REQUEST = obj(
    {
        "id": {"type": "string", "minLength": 1, "maxLength": 64},
        "correct": {"type": ["boolean", "null"]},
        "label": {"type": ["string", "null"], "description": "one of the use case's labels"},
    },
    ("id",),
)
FEEDBACK = obj(
    {
        "id": {"type": "string"},
        "correct": {"type": "boolean"},
        "label": {"type": ["string", "null"]},
        "recorded": {"type": "boolean"},
    },
    ("id", "correct", "label", "recorded"),
)

REVIEW_QUERY = [
    {"name": "use_case", "in": "query", "schema": {"type": "string"}},
    {"name": "limit", "in": "query", "schema": {"type": "integer", "minimum": 1, "maximum": 100}},
]
REVIEW_REQUEST = obj(
    {
        "take": {"type": ["boolean", "null"], "enum": [True, None]},
        "release": {"type": ["boolean", "null"], "enum": [True, None]},
        "correct": {"type": ["boolean", "null"]},
        "label": {"type": ["string", "null"]},
        "use_case": {"type": ["string", "null"], "description": "with `next` alone"},
    },
    (),
)
_REVIEW = {
    "id": {"type": "string"},
    "use_case": {"type": "string"},
    "decision_id": {"type": "string"},
    "input": {"type": "object", "description": "redacted"},
    "output": {"type": ["object", "null"], "description": "redacted"},
    "route": {"type": "string"},
    "why": {"type": "array", "items": {"type": "string"}},
    "seen": {"type": "integer", "description": "decisions on this very request"},
    "at": {"type": "string", "format": "date-time"},
    "held": {"type": ["string", "null"], "description": "by_you, by_another"},
    "lease_until": {"type": ["string", "null"]},
}
REVIEWED: Schema = {
    "oneOf": [
        obj({"review": {"oneOf": [ref("Review"), {"type": "null"}]}}, ("review",)),
        obj({"id": {"type": "string"}, "resolved": {"type": "boolean"}}, ("id", "resolved")),
    ]
}

COMMON: Schema = {
    "Review": obj(_REVIEW, tuple(_REVIEW)),
    "ReviewList": obj({"reviews": {"type": "array", "items": ref("Review")}}, ("reviews",)),
    "Error": obj(
        {
            "error": obj(
                {
                    "type": {"type": "string", "description": "one word, closed set"},
                    "message": {
                        "type": "string",
                        "description": "names the field; never holds what was sent",
                    },
                    "request_id": {"type": "string"},
                },
                ("type", "message", "request_id"),
            )
        },
        ("error",),
    ),
    "Context": {
        **obj(
            {
                "subject": {**_REFERENCE, "description": "whom it is about; kept as a keyed hash only"},
                "session": {**_REFERENCE, "description": "kept as a keyed hash only"},
                "residency": {**_CHOICE, "description": "where the data must stay, for access policy"},
                "purpose": {**_CHOICE, "description": "what for, for access policy; default `service`"},
                "max_latency_ms": {"type": ["integer", "null"], "minimum": 1, "maximum": 9223372036854775807},
                "max_cost_usd": {"type": ["number", "null"], "minimum": 0},
            },
            (),
        ),
        "type": ["object", "null"],
    },
    "ChatMessage": obj(
        {
            "role": {"type": "string", "enum": list(ROLES)},
            "content": {
                "anyOf": [
                    {"type": "string"},
                    {
                        "type": "array",
                        "items": obj(
                            {"type": {"const": "text"}, "text": {"type": "string"}}, ("type", "text")
                        ),
                    },
                ]
            },
        },
        ("role", "content"),
        closed=False,
    ),
    "ChatCompletion": obj(
        {
            "id": {"type": "string"},
            "object": {"const": "chat.completion"},
            "created": {"type": "integer"},
            "model": {"type": "string"},
            "choices": {"type": "array", "items": {"type": "object"}},
            "x_switchyard": {"type": "object", "description": "the native answer: route, reasons, receipt …"},
        },
        ("id", "object", "created", "model", "choices", "x_switchyard"),
        closed=False,
    ),
    "Model": obj(
        {
            "id": {"type": "string"},
            "object": {"const": "model"},
            "created": {"type": "integer"},
            "owned_by": {"type": "string"},
        },
        ("id", "object", "created", "owned_by"),
    ),
    "ModelList": obj(
        {"object": {"const": "list"}, "data": {"type": "array", "items": ref("Model")}}, ("object", "data")
    ),
    "Record": obj(
        {
            "id": {"type": "string"},
            "tenant": {"type": "string"},
            "use_case": {"type": "string"},
            "request": {"type": "object", "description": "redacted"},
            "output": {"type": ["object", "null"], "description": "redacted"},
            "route": {"type": ["string", "null"]},
            "attempts": {"type": "array", "items": {"type": "object"}},
            "journal": obj({"file": {"type": "string"}, "hash": {"type": "string"}}, ("file", "hash")),
        },
        ("id", "tenant", "use_case", "request", "output", "route", "attempts", "journal"),
        closed=False,
    ),
    "Verdict": obj(
        {
            "valid": {"type": "boolean"},
            "reason": {"type": ["string", "null"], "description": "why not"},
            "claims": {"type": ["object", "null"]},
        },
        ("valid", "reason", "claims"),
    ),
    "Jwks": obj({"keys": {"type": "array", "items": {"type": "object"}}}, ("keys",)),
}
