"""A chat completion that arrives in chunks: each one checked, and put together to a reply. Pure.

It ends with a finish reason and `[DONE]`. Whatever stops before both, or goes on after, is a failure of
unknown cost: what was generated until then may be billed.
"""

import json
from collections.abc import Callable
from typing import Any

from services.errors import TargetFailed, TargetRefused
from services.prices import Usage
from services.targets.chat import ChatReply

DONE = "[DONE]"
WRONG_MODEL = "another model answered than was asked; name it in the endpoint's `echoes` if it is right"


class ChatStream:
    """One streamed completion. `is_model` says whether a chunk's model is the one that was asked."""

    def __init__(self, is_model: Callable[[object], bool]) -> None:
        self.done = False
        self._is_model = is_model
        self._pieces: list[str] = []
        self._refused = False
        self._finish: str | None = None
        self._usage: Usage | None = None

    def feed(self, data: str) -> str:
        """Take the data of one event; what it adds to the content. Raises `TargetFailed`, `TargetRefused`."""
        if self.done:
            raise _bad("went on after its end")
        if data == DONE:
            if self._finish is None:
                raise _bad("ended without saying why")
            self.done = True
            return ""
        chunk = _chunk(data)
        if "error" in chunk:
            raise _error(chunk["error"])
        if not self._is_model(chunk.get("model")):
            message = (
                "another model answered than was asked; name it in the endpoint's `echoes` if it is right"
            )
            raise TargetFailed("wrong_model", message, cost_usd=None)
        if isinstance(chunk.get("usage"), dict):
            self._usage = Usage.from_openai(chunk["usage"])
        choices = chunk.get("choices")
        if not isinstance(choices, list) or len(choices) > 1:
            raise _bad("is not a chat completion")
        return self._choice(choices[0]) if choices else ""

    def reply(self) -> ChatReply:
        """The whole. Raises `TargetFailed` where the stream stopped before its end."""
        if not self.done or self._finish is None:
            raise TargetFailed("cut_off", "its stream stopped before its end", cost_usd=None)
        content = "".join(self._pieces) if self._pieces else None
        refused = self._refused or self._finish == "content_filter"
        return ChatReply(content, self._finish, refused, self._usage)

    def _choice(self, choice: Any) -> str:
        delta = choice.get("delta") if isinstance(choice, dict) else None
        if not isinstance(delta, dict) or choice.get("index", 0) != 0:
            raise _bad("is not a chat completion")
        content, finish = delta.get("content") or "", choice.get("finish_reason")
        if not isinstance(content, str) or not isinstance(finish, str | None):
            raise _bad("is not a chat completion")
        self._refused = self._refused or bool(delta.get("refusal"))
        if self._finish is not None and (content or finish):
            raise _bad("went on after its end")
        self._finish = finish if finish is not None else self._finish
        if content:
            self._pieces.append(content)
        return "" if self._refused else content


def _chunk(data: str) -> dict[str, Any]:
    try:
        chunk = json.loads(data)
    except (ValueError, RecursionError):
        raise _bad("holds a chunk that is not JSON") from None
    if not isinstance(chunk, dict):
        raise _bad("is not a chat completion")
    return chunk


def _error(error: object) -> TargetFailed | TargetRefused:
    if isinstance(error, dict) and error.get("code") == "content_filter":
        message = "the endpoint's content filter refused in mid-stream; that is final"
        return TargetRefused(message, cost_usd=None)
    return TargetFailed("stream_error", "its stream broke off with an error", cost_usd=None)


def _bad(what: str) -> TargetFailed:
    return TargetFailed("bad_stream", f"its stream {what}", cost_usd=None)
