"""Stand-ins for what a test does not want to be real. They do what they are told and keep what they got."""

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from feature_checks.usecase import UseCase, load_usecase
from registry.records import Prediction
from services.policy import PolicyQuestion
from services.prices import Prices, Usage
from services.privacy.kinds import Span
from services.targets import Target
from services.targets.chat import ChatReply
from services.targets.local import Scored
from services.values import Answer, Call, Caller, Context, Declined, Envelope, Verdict

REPOSITORY = Path(__file__).parent.parent
HASH_KEY = b"a key of tests, long enough: 32 bytes"
_ids = itertools.count()


class FakePredictor:
    """`registry.runtimes.Predictor`: always the same label and confidence, or an exception."""

    def __init__(
        self, labels: Sequence[str], label: str, confidence: float = 0.99, error: Exception | None = None
    ) -> None:
        self.labels = tuple(labels)
        self._prediction = Prediction(label, confidence)
        self._error = error
        self.seen: list[Mapping[str, object]] = []

    def predict(self, fields: Mapping[str, object]) -> Prediction:
        self.seen.append(fields)
        if self._error:
            raise self._error
        return self._prediction

    def probabilities(self, rows: Sequence[Mapping[str, object]]) -> np.ndarray:
        rest = (1 - self._prediction.confidence) / max(1, len(self.labels) - 1)
        row = [self._prediction.confidence if x == self._prediction.label else rest for x in self.labels]
        return np.tile(row, (len(rows), 1))


class FakeLocalModel:
    """`services.targets.local.LocalModel`: always the same score, or an exception."""

    def __init__(
        self,
        label: str,
        confidence: float = 0.99,
        threshold: float = 0.8,
        error: BaseException | None = None,
        digest: str = "d" * 64,
    ) -> None:
        self.scored = Scored(label, confidence, threshold, digest)
        self.error = error
        self.seen: list[Mapping[str, object]] = []

    async def predict(self, fields: Mapping[str, object]) -> Scored:
        self.seen.append(fields)
        if self.error:
            raise self.error
        return self.scored


@dataclass
class FakeChat:
    """`services.targets.chat.Chat`: gives `reply`, or raises `error`. Keeps every prompt it was sent."""

    name: str = "primary"
    model: str = "fake-model"
    region: str | None = "eu"
    on_premises: bool = False
    attested: bool = False
    prices: Prices = field(default_factory=lambda: Prices.from_usd(1.0, 2.0, 0.5))
    reply: ChatReply | None = None
    error: Exception | None = None
    pieces: Sequence[str] = ()  # of a streamed answer
    errors: list[Exception] = field(default_factory=list)  # one for each of the first questions
    prompts: list[tuple[str, str]] = field(default_factory=list)
    timeouts_s: list[float] = field(default_factory=list)

    async def ask(
        self, system: str, user: str, response_format: Mapping[str, Any], max_tokens: int, timeout_s: float
    ) -> ChatReply:
        self.prompts.append((system, user))
        self.timeouts_s.append(timeout_s)
        if self.errors:
            raise self.errors.pop(0)
        if self.error:
            raise self.error
        return self.reply or chat_reply('{"reply": "An answer.", "intent": "out_of_scope"}')

    async def ask_streamed(
        self,
        system: str,
        user: str,
        response_format: Mapping[str, Any],
        max_tokens: int,
        timeout_s: float,
        idle_s: float,
        tell: Callable[[str], Awaitable[None]],
    ) -> ChatReply:
        """`pieces`, one after the other; then as `ask`."""
        self.prompts.append((system, user))
        for piece in self.pieces:
            await tell(piece)
            await asyncio.sleep(0)
        if self.error:
            raise self.error
        return self.reply or chat_reply("".join(self.pieces))


def chat_reply(content: str | None, finish: str = "stop", refused: bool = False) -> ChatReply:
    return ChatReply(content, finish, refused, Usage(1000, 100))


class FakeTarget(Target):
    """A target that answers, declines or raises what it is given, and keeps the envelopes it saw."""

    def __init__(self, name: str, says: Answer | Declined | BaseException, **attributes: object) -> None:
        self.name = name
        self.says = says
        self.seen: list[Envelope] = []
        for attribute, value in attributes.items():
            setattr(self, attribute, value)

    async def answer(self, envelope: Envelope, usecase: UseCase, deadline: float) -> Answer | Declined:
        self.seen.append(envelope)
        if isinstance(self.says, BaseException):
            raise self.says
        return self.says


class FakePolicy:
    """Permits all but `denied` targets; raises `error` instead where one is given. Keeps the questions."""

    def __init__(self, denied: Sequence[str] = (), error: Exception | None = None) -> None:
        self.denied = set(denied)
        self.error = error
        self.questions: list[PolicyQuestion] = []

    def verdict(self, question: PolicyQuestion) -> Verdict:
        self.questions.append(question)
        if self.error:
            raise self.error
        if question.target in self.denied:
            return Verdict(False, ("forbid-it",), "forbidden by forbid-it")
        return Verdict(True, ("permit-it",), "permitted by permit-it")


class FakeDetector:
    """Finds each given secret wherever it stands, as the kind it was given with."""

    ahead: int | None = None

    def __init__(self, secrets: Mapping[str, str] | None = None) -> None:
        self._secrets = dict(secrets or {})

    def scan(self, text: str) -> list[Span]:
        spans = []
        for secret, kind in self._secrets.items():
            start = text.find(secret)
            while start >= 0:
                spans.append(Span(start, start + len(secret), kind, 1.0))
                start = text.find(secret, start + 1)
        return sorted(spans)


def support() -> UseCase:
    """The use case that ships with the repository."""
    return load_usecase("support", REPOSITORY / "usecases")


def envelope_of(usecase: UseCase, **fields: object) -> Envelope:
    """A redacted request as `seal` would make it."""
    given = fields or {"text": "hello"}
    return Envelope(f"{next(_ids):032x}", usecase.name, "acme", given, frozenset({"user_content"}), "0" * 64)


def call_of(usecase: UseCase, tenant: str = "acme", within_s: float = 5.0, **fields: object) -> Call:
    """One authenticated call with `within_s` seconds to be answered in."""
    return Call(
        id=f"{next(_ids):032x}",
        usecase=usecase,
        caller=Caller(tenant, "key-1", frozenset({"caller"})),
        fields=fields or {"text": "hello"},
        context=Context(),
        deadline=time.monotonic() + within_s,
    )
