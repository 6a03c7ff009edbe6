"""The OpenAPI 3.1 document of `/v1/*`, made from the use cases that are served."""

from collections.abc import Mapping, Sequence
from typing import Any

from feature_checks.usecase import FieldSpec, UseCase
from services.api import openapi_audit as audit
from services.api import openapi_schemas as schemas
from services.api.openapi_schemas import Schema, ref

_ERRORS = {
    "400": "The body is not JSON in UTF-8, or did not arrive in time",
    "401": "No API key, or one that is unknown, expired or revoked",
    "403": "The key's roles do not allow this",
    "404": "No such use case, decision or model",
    "405": "The path exists, not with this method",
    "409": "The first request with this idempotency key is still at work, or others said otherwise",
    "410": "The decision is too old to be judged",
    "413": "The body is larger than this server takes",
    "415": "The body is not said to be plain JSON",
    "422": "A field is missing, unknown or out of bounds; the message names it",
    "429": "Too many requests: of this key, of this tenant, or in all",
    "500": "A fault on our side; the request id finds it in the log",
    "503": "Nothing at all may answer, or the answer could not be recorded",
}
_READING = ("401", "403", "405", "429", "500", "503")
_WRITING = ("400", *_READING, "413", "415", "422")


def openapi_document(usecases: Sequence[UseCase]) -> dict[str, Any]:
    """The whole document. Each use case's input and output are a schema of their own."""
    inputs = {f"{_camel(u.name)}Input": _fields(u, u.input, inputs=True) for u in usecases}
    outputs = {f"{_camel(u.name)}Output": _fields(u, u.output, inputs=False) for u in usecases}
    requests = {
        f"{_camel(u.name)}Request": schemas.decide_request(u.name, ref(f"{_camel(u.name)}Input"))
        for u in usecases
    }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Switchyard",
            "version": "1",
            "description": "Each request is answered by the cheapest and safest thing that can answer it "
            "correctly, and carries a signed receipt of how the answer came to be.",
        },
        "security": [{"apiKey": []}],
        "paths": _paths(list(requests), [f"{_camel(u.name)}Output" for u in usecases], usecases),
        "components": {
            "securitySchemes": {
                "apiKey": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "`switchyard keys create` makes one",
                }
            },
            "schemas": {**schemas.COMMON, **inputs, **requests, **outputs},
            "responses": {f"E{status}": _error(status, text) for status, text in _ERRORS.items()},
        },
    }


def _paths(requests: list[str], outputs: list[str], usecases: Sequence[UseCase]) -> dict[str, Any]:
    names = [usecase.name for usecase in usecases]
    decision = schemas.decision([ref(name) for name in outputs], names)
    return {
        "/v1/decide": {
            "post": {
                "operationId": "decide",
                "summary": "Answer one request of a use case",
                "description": "Needs the role `caller`.",
                "parameters": [schemas.IDEMPOTENCY_KEY, schemas.TRACEPARENT],
                "requestBody": _body(
                    {"oneOf": [ref(name) for name in requests]} if requests else {"type": "object"}
                ),
                "responses": _responses(
                    "The answer, why it is this one, and its receipt", decision, (*_WRITING, "404", "409")
                ),
            }
        },
        "/v1/chat/completions": {
            "post": {
                "operationId": "chat",
                "summary": "OpenAI-compatible chat; the model is the use case",
                "description": "Needs the role `caller`. The last user message is the use case's text.",
                "parameters": [schemas.TRACEPARENT],
                "requestBody": _body(schemas.chat_request(names)),
                "responses": {
                    **_responses("The answer", ref("ChatCompletion"), (*_WRITING, "404")),
                    "200": {
                        "description": "The answer, whole or as a stream of events that ends with `[DONE]`",
                        "headers": schemas.ANSWER_HEADERS,
                        "content": {
                            "application/json": {"schema": ref("ChatCompletion")},
                            "text/event-stream": {"schema": {"type": "string"}},
                        },
                    },
                },
            }
        },
        "/v1/models": {"get": _get("models", "The use cases, as models", ref("ModelList"))},
        "/v1/models/{id}": {"get": _get("model", "One use case, as a model", ref("Model"), by_id=True)},
        "/v1/feedback": {
            "post": {
                "operationId": "feedback",
                "summary": "What turned out to be right, of one decision",
                "description": "Needs the role `caller`, of the same tenant. `correct` or `label`, not both.",
                "requestBody": _body(schemas.FEEDBACK_REQUEST),
                "responses": _responses(
                    "What is now known; `recorded` is false where it was known before",
                    schemas.FEEDBACK,
                    (*_WRITING, "404", "409", "410"),
                ),
            }
        },
        "/v1/reviews": {
            "get": {
                **_get("reviews", "What waits for a reviewer; role `reviewer`", ref("ReviewList")),
                "parameters": schemas.REVIEW_QUERY,
                "responses": _responses("What waits", ref("ReviewList"), (*_READING, "422")),
            }
        },
        "/v1/reviews/{id}": {
            "post": {
                "operationId": "review",
                "summary": "Take a review, give it back, or say what is right; role `reviewer`",
                "description": "`next` as id, with `take`: the most valuable one that is free.",
                "parameters": [schemas.ID],
                "requestBody": _body(schemas.REVIEW_REQUEST),
                "responses": _responses("What came of it", schemas.REVIEWED, (*_WRITING, "404", "409")),
            }
        },
        **_audit(),
        "/v1/decisions/{id}": {
            "get": _get(
                "decision", "The journal's record of a decision; role `auditor`", ref("Record"), by_id=True
            )
        },
        "/v1/receipts/verify": {
            "post": {
                "operationId": "verifyReceipt",
                "summary": "Is this receipt ours, and, with `id` and `output`, of that answer?",
                "requestBody": _body(schemas.VERIFY_REQUEST),
                "responses": _responses("The verdict", ref("Verdict"), _WRITING),
            }
        },
        "/.well-known/jwks.json": {
            "get": {
                "operationId": "jwks",
                "summary": "The public keys that receipts are verified with (RFC 7517)",
                "security": [],
                "responses": _responses("All keys, old ones too", ref("Jwks"), ("405", "500")),
            }
        },
    }


def _audit() -> dict[str, Any]:
    """What an auditor lists."""
    listing = _get("decisions", "Decisions of the own tenant, newest first; role `auditor`", audit.DECISIONS)
    return {
        "/v1/decisions": {
            "get": {
                **listing,
                "parameters": audit.QUERY,
                "responses": _responses("A page of them", audit.DECISIONS, (*_READING, "422")),
            }
        },
        "/v1/budgets": {
            "get": {
                **_get("budgets", "Spent today of what may be; role `auditor`", audit.BUDGETS),
                "responses": _responses("Each use case", audit.BUDGETS, (*_READING, "422")),
            }
        },
        "/v1/rollouts": {
            "get": {
                **_get("rollouts", "The last rollouts and their moves; role `auditor`", audit.ROLLOUTS),
                "responses": _responses("Newest first", audit.ROLLOUTS, (*_READING, "422")),
            }
        },
    }


def _get(name: str, summary: str, schema: Schema, by_id: bool = False) -> dict[str, Any]:
    errors = (*_READING, "404") if by_id else _READING
    parameters = [schemas.ID] if by_id else []
    responses = _responses(summary, schema, errors)
    return {"operationId": name, "summary": summary, "parameters": parameters, "responses": responses}


def _body(schema: Schema) -> dict[str, Any]:
    return {"required": True, "content": {"application/json": {"schema": schema}}}


def _responses(text: str, schema: Schema, errors: Sequence[str]) -> dict[str, Any]:
    good = {
        "description": text,
        "headers": {"x-request-id": {"schema": {"type": "string"}}},
        "content": {"application/json": {"schema": schema}},
    }
    return {
        "200": good,
        **{status: {"$ref": f"#/components/responses/E{status}"} for status in sorted(errors)},
    }


def _error(status: str, text: str) -> dict[str, Any]:
    headers: dict[str, Any] = {"x-request-id": {"schema": {"type": "string"}}}
    if status in ("429", "409"):
        headers["retry-after"] = {"schema": {"type": "integer"}, "description": "seconds"}
    return {
        "description": text,
        "headers": headers,
        "content": {"application/json": {"schema": ref("Error")}},
    }


def _fields(usecase: UseCase, specs: Mapping[str, FieldSpec], inputs: bool) -> dict[str, Any]:
    properties = {name: _field(usecase, name, spec, inputs) for name, spec in specs.items()}
    required = [name for name, spec in specs.items() if spec.required]
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _field(usecase: UseCase, name: str, spec: FieldSpec, inputs: bool) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string" if spec.type == "timestamp" else spec.type}
    values = usecase.values(spec) if inputs else usecase.allowed(name)
    if spec.type == "string":
        schema |= {"minLength": spec.min_length, "maxLength": spec.max_length}
    if spec.type == "timestamp":
        schema |= {"format": "date-time"}
    if values:
        schema["enum"] = list(values)
    noted = inputs and spec.beyond == "noted"
    if spec.minimum is not None and not noted:
        schema["minimum"] = spec.minimum
    if spec.maximum is not None and not noted:
        schema["maximum"] = spec.maximum
    if spec.tags:
        schema["description"] = f"data tags: {', '.join(spec.tags)}"
    return schema


def _camel(name: str) -> str:
    return "".join(part.capitalize() for part in name.replace("-", "_").split("_"))
