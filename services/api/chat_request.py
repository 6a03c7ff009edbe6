"""Reading an OpenAI chat request: what it asks of which use case, in our own terms."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from feature_checks.usecase import UseCase
from services.api.calls import CallReader
from services.api.chat_parameters import MAX_TOKENS, check_parameters
from services.api.fields import integer, kind
from services.api.response_format import NAME as FORMAT
from services.api.response_format import ResponseFormat, read_response_format
from services.errors import InputError
from services.reply_field import reply_field
from services.values import Context, Expectation

ROLES = ("system", "developer", "user", "assistant", "tool")
STREAM_OPTIONS = ("include_usage", "include_obfuscation")
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
    format: ResponseFormat | None = None  # None: plain text
    max_tokens: int | None = None
    ignored: tuple[str, ...] = ()  # parameters that mean nothing here

    @property
    def incremental(self) -> bool:
        """May text go out while it is written? What a caller demands is demanded of a whole answer."""
        cloud = self.usecase.cloud
        return cloud is not None and cloud.streaming == "incremental" and not self.expects()

    def content(self, output: Mapping[str, object]) -> str:
        """What the completion says of an output: its text, or JSON where a format asks for it."""
        return reply_text(self.usecase, output) if self.format is None else self.format.content(output)

    def expects(self) -> tuple[Expectation, ...]:
        """What the answer itself must meet."""
        found = []
        if self.format is not None:
            found.append(Expectation(FORMAT, self.format.problem))
        if self.max_tokens is not None:
            found.append(Expectation("max_tokens", self._too_long, own_text=False))
        return tuple(found)

    def _too_long(self, output: Mapping[str, object]) -> str | None:
        """A word takes one token or more: so many words are certainly too many tokens. Nothing is cut."""
        words = len(self.content(output).split())
        if self.max_tokens is None or words <= self.max_tokens:
            return None
        return f"{words} words are more than the {self.max_tokens} tokens that the caller allows"


def read_chat(body: Any, calls: CallReader) -> ChatRequest:
    """Raises `InputError` for what is wrong or not supported, `NotFound` for an unknown model."""
    if not isinstance(body, dict):
        raise InputError("body", f"body: expected an object, got {kind(body)}")
    for key in ("model", "messages"):
        if key not in body:
            raise InputError(key, f"{key}: is missing")
    ignored = check_parameters(body)
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
        format=read_response_format(body.get(FORMAT), usecase),
        max_tokens=_max_tokens(body),
        ignored=ignored,
    )


def reply_text(usecase: UseCase, output: Mapping[str, object]) -> str:
    """What a person would read of an answer."""
    return str(output.get(reply_field(usecase), ""))


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


def _max_tokens(body: Mapping[str, object]) -> int | None:
    """The smaller of the two names for it."""
    given = [integer(name, body[name], 1, None) for name in MAX_TOKENS if body.get(name) is not None]
    return min(given, default=None)


def _include_usage(given: object) -> bool:
    if given is None:
        return False
    if not isinstance(given, dict) or any(key not in STREAM_OPTIONS for key in given):
        known = ", ".join(STREAM_OPTIONS)
        raise InputError("stream_options", f"stream_options: expected an object with some of {known}")
    _flag("stream_options.include_obfuscation", given.get("include_obfuscation"))  # nothing to obscure here
    return _flag("stream_options.include_usage", given.get("include_usage"))


def _flag(where: str, value: object) -> bool:
    if value is not None and not isinstance(value, bool):
        raise InputError(where, f"{where}: expected true or false, got {kind(value)}")
    return bool(value)
