"""Callers of the demo's rollouts: they ask without pause, and say of every answer whether it was right."""

import asyncio
import itertools
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from feature_checks.usecase import UseCase
from flows.demo_candidates import approved
from flows.demo_traffic import Message
from flows.errors import ProcessError

AT_ONCE = 4
TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class SeenOf:
    """What callers got of one configuration."""

    name: str
    answers: int
    wrong: int
    failed: int  # requests without an answer


class Callers:
    """Asks from a thread of its own. Each request comes from another person."""

    def __init__(self, url: str, key: str, usecase: UseCase) -> None:
        self._url = url
        self._headers = {"authorization": f"Bearer {key}"}
        self._usecase = usecase
        self._approved = approved(usecase)
        self._people = itertools.count()
        self._answers: Counter[str] = Counter()
        self._wrong: Counter[str] = Counter()
        self._failed = 0
        self._names: dict[str, str] = {}
        self._over = threading.Event()
        self.last: dict[str, Any] | None = None

    def name(self, version: str, name: str) -> None:
        """How a configuration is to be called."""
        self._names[version] = name

    def seen(self) -> list[SeenOf]:
        """By configuration, the one that came first in front; failed requests stand with that one."""
        failed = [self._failed]
        return [
            SeenOf(
                self._names.get(version, "as it was"),
                count,
                self._wrong[version],
                failed.pop() if failed else 0,
            )
            for version, count in self._answers.items()
        ]

    def answered_here(self, messages: Sequence[Message]) -> list[Message]:
        """Those that the local model answers: of these, what is right does not depend on luck."""
        return asyncio.run(self._answered_here(messages))

    @contextmanager
    def asking(self, messages: Sequence[Message]) -> Iterator[None]:
        """Ask these, around and around, for as long as the block lasts."""
        thread = threading.Thread(target=lambda: asyncio.run(self._ask_all(messages)), daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join(TIMEOUT_S)

    async def _answered_here(self, messages: Sequence[Message]) -> list[Message]:
        async with self._client() as client:
            gate = asyncio.Semaphore(AT_ONCE)

            async def one(message: Message) -> Message | None:
                async with gate:
                    answer = await self._decide(client, message)
                if answer.status_code != httpx.codes.OK:
                    raise ProcessError(f"the orchestrator answered {answer.status_code}: {answer.text[:300]}")
                return message if answer.json()["route"] == "local" else None

            found = await asyncio.gather(*(one(m) for m in messages))
        return [message for message in found if message is not None]

    async def _ask_all(self, messages: Sequence[Message]) -> None:
        around = itertools.cycle(messages)
        async with self._client() as client:

            async def one_caller() -> None:
                while not self._over.is_set():
                    await self._ask(client, next(around))

            await asyncio.gather(*(one_caller() for _ in range(AT_ONCE)))

    async def _ask(self, client: httpx.AsyncClient, message: Message) -> None:
        try:
            answer = await self._decide(client, message)
        except httpx.HTTPError:
            self._failed += 1
            return
        if answer.status_code != httpx.codes.OK:
            self._failed += 1
            return
        said = answer.json()
        right = self._right(said["output"], message)
        version = said["versions"]["config"]
        self._answers[version] += 1
        self._wrong[version] += not right
        self.last = said
        await client.post("/v1/feedback", json={"id": said["id"], "correct": right})

    def _right(self, output: Mapping[str, object], message: Message) -> bool:
        """Does each text begin as the approved one for what the message is about? More may follow."""
        truth = message.truth or ""
        return all(
            str(output.get(field, "")).startswith(texts.get(truth, "\x00").strip())
            for field, texts in self._approved.items()
        )

    async def _decide(self, client: httpx.AsyncClient, message: Message) -> httpx.Response:
        body = {
            "use_case": self._usecase.name,
            "input": dict(message.fields),
            "context": {"subject": f"person {next(self._people)}"},
        }
        return await client.post("/v1/decide", json=body)

    def _client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            base_url=self._url, headers=self._headers, timeout=TIMEOUT_S, trust_env=False
        )
