"""What the cloud target asks of an endpoint, and what comes back. No client library here."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Prices:
    """US dollars for a million tokens."""

    input: float
    output: float
    cached: float

    def cost_usd(self, usage: "Usage") -> float:
        fresh = usage.input_tokens - usage.cached_tokens
        spent = fresh * self.input + usage.cached_tokens * self.cached + usage.output_tokens * self.output
        return spent / 1_000_000


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens as the endpoint counted them; cached ones are part of the input."""

    input_tokens: int
    cached_tokens: int
    output_tokens: int


@dataclass(frozen=True, slots=True)
class ChatReply:
    """What came back. `content` is None where there is none; `refused` means for safety."""

    content: str | None
    finish_reason: str
    refused: bool
    usage: Usage | None


class Chat(Protocol):
    """What the cloud target needs of an endpoint; tests hand in a fake."""

    name: str
    model: str
    region: str | None
    on_premises: bool
    attested: bool
    prices: Prices | None

    async def ask(
        self, system: str, user: str, response_format: Mapping[str, Any], max_tokens: int, timeout_s: float
    ) -> ChatReply: ...
