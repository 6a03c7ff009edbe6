"""What the cloud target asks of an endpoint, and what comes back. No client library here."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from services.prices import Prices, Usage

Tell = Callable[[str], Awaitable[None]]
"""Told of a text while it is written; what it raises ends the question."""


@dataclass(frozen=True, slots=True)
class ChatReply:
    """What came back. `content` is None where there is none; `refused` means for safety; `usage` is None
    where the endpoint reported none that makes sense."""

    content: str | None
    finish_reason: str
    refused: bool
    usage: Usage | None


class Chat(Protocol):
    """One endpoint: what policy asks about, its prices, and a question. Tests hand in a fake."""

    name: str
    model: str
    region: str | None
    on_premises: bool
    attested: bool
    prices: Prices

    async def ask(
        self, system: str, user: str, response_format: Mapping[str, Any], max_tokens: int, timeout_s: float
    ) -> ChatReply:
        """Raises `TargetFailed`, or `TargetRefused` for a content filter; never with content in it."""
        ...

    async def ask_streamed(
        self,
        system: str,
        user: str,
        response_format: Mapping[str, Any],
        max_tokens: int,
        timeout_s: float,
        idle_s: float,
        tell: Tell,
    ) -> ChatReply:
        """As `ask`; `tell` gets each piece of the content as it arrives. Fails too when nothing new comes
        for `idle_s` once the answer has begun, and when the stream stops before its end."""
        ...
