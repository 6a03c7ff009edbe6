"""Reading an OpenAI chat request: what it asks of which use case, in our own terms."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from feature_checks.usecase import UseCase
from services.api.calls import CallReader
from services.api.fields import kind
from services.errors import InputError
from services.values import Context

ROLES = ("system", "developer", "user", "assistant", "tool")
KNOWN = ("model", "messages", "stream", "stream_options", "user", "metadata", "n")
METADATA = ("session", "residency", "purpose")
MAX_MESSAGES = 500


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """One chat request. `given` is the use case's input, still to be checked."""

    usecase: UseCase
    given: Mapping[str, object] = field(repr=False)
    context: Context
    stream: bool
    include_usage: bool


def read_chat(body: Any, calls: CallReader) -> ChatRequest:
    """Raises `InputError` for what is wrong or not supported, `NotFound` for an unknown model."""
    if not isinstance(body, dict):
        raise InputError("body", f"body: expected an object, got {kind(body)}")
    for key in ("model", "messages"):
        if key not in body:
            raise InputError(key, f"{key}: is missing")
    _refuse_unsupported(body)
    name = body["model"]
    if not isinstance(name, str):
        raise InputError("model", f"model: expected a string, got {kind(name)}")
    usecase = calls.usecase(name, "model")
    where, text = _last_user_text(body["messages"])
    context = {"subject": body.get("user"), **_metadata(body.get("metadata"))}
    return ChatRequest(
        usecase=usecase,
        given={_text_field(usecase, where): text},
        context=calls.context(context),
        stream=_flag("stream", body.get("stream")),
        include_usage=_include_usage(body.get("stream_options")),
    )


def _refuse_unsupported(body: Mapping[str, object]) -> None:
    """A parameter that is null asks for nothing; `n` may be 1."""
    asked = [key for key, value in body.items() if key not in KNOWN and value is not None]
    if asked:
        known = ", ".join(KNOWN)
        named = asked[0] if asked[0] in OPENAI_PARAMETERS else "a parameter"
        message = f"{named}: is not supported here, since the use case decides how it is answered"
        raise InputError("body", f"{message}; leave it out. Supported: {known}")
    if body.get("n") not in (None, 1) or isinstance(body.get("n"), bool):
        raise InputError("n", "n: expected 1; there is one answer to a request")


def _text_field(usecase: UseCase, where: str) -> str:
    required = [name for name, spec in usecase.input.items() if spec.required]
    fields = required or list(usecase.input)[:1]
    if len(fields) != 1 or usecase.input[fields[0]].type != "string":
        needs = ", ".join(required)
        raise InputError(where, f"{where}: this use case needs the fields {needs}; call /v1/decide instead")
    return fields[0]


def _last_user_text(messages: object) -> tuple[str, str]:
    if not isinstance(messages, list) or not 1 <= len(messages) <= MAX_MESSAGES:
        raise InputError("messages", f"messages: expected an array of 1 to {MAX_MESSAGES} messages")
    found: tuple[str, str] | None = None
    for position, message in enumerate(messages):
        where = f"messages[{position}]"
        if not isinstance(message, dict):
            raise InputError(where, f"{where}: expected an object, got {kind(message)}")
        if message.get("role") not in ROLES:
            raise InputError(f"{where}.role", f"{where}.role: expected one of {', '.join(ROLES)}")
        if message["role"] == "user":
            found = f"{where}.content", _content(f"{where}.content", message.get("content"))
    if found is None:
        raise InputError("messages", "messages: expected at least one with role user")
    return found


def _content(where: str, content: object) -> str:
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise InputError(where, f"{where}: expected a string or an array of text parts, got {kind(content)}")
    pieces: list[str] = []
    for part in content:
        if not isinstance(part, dict) or part.get("type") != "text" or not isinstance(part.get("text"), str):
            raise InputError(where, f"{where}: expected parts of type text only")
        pieces.append(part["text"])
    return "\n".join(pieces)


def _metadata(given: object) -> dict[str, object]:
    if given is None:
        return {}
    if not isinstance(given, dict) or any(key not in METADATA for key in given):
        raise InputError("metadata", f"metadata: expected an object with some of {', '.join(METADATA)}")
    return given


def _include_usage(given: object) -> bool:
    if given is None:
        return False
    if not isinstance(given, dict) or any(key != "include_usage" for key in given):
        raise InputError("stream_options", "stream_options: expected an object with include_usage alone")
    return _flag("stream_options.include_usage", given.get("include_usage"))


def _flag(where: str, value: object) -> bool:
    if value is not None and not isinstance(value, bool):
        raise InputError(where, f"{where}: expected true or false, got {kind(value)}")
    return bool(value)


OPENAI_PARAMETERS = frozenset(
    {
        "audio", "frequency_penalty", "function_call", "functions", "logit_bias", "logprobs",
        "max_completion_tokens", "max_tokens", "modalities", "moderation", "parallel_tool_calls",
        "prediction", "presence_penalty", "prompt_cache_key", "prompt_cache_retention",
        "reasoning_effort", "response_format", "safety_identifier", "seed", "service_tier",
        "stop", "store", "temperature", "tool_choice", "tools", "top_logprobs", "top_p",
        "verbosity", "web_search_options",
    }
)  # fmt: skip
"""Names that an error may repeat: those of OpenAI's own reference. Any other is the user's text."""
