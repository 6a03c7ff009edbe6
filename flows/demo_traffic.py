"""The demo's traffic: which messages it sends, and what came back. A real client over HTTP."""

import asyncio
import base64
import json
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import httpx
import yaml

from feature_checks.usecase import UseCase, list_usecases, usecases_dir
from flows.errors import ProcessError, StepError

CLIENTS = 1
"""The stand-in model answers one request after another: more clients would only wait for it."""
REQUEST_TIMEOUT_S = 60.0
TRAFFIC_S = 75.0
"""No new message is sent after this: a slow machine shows fewer, and does not make people wait longer."""
SEED = 7
SCRIPT = "demo.yaml"


@dataclass(frozen=True, slots=True)
class Message:
    """One labelled input; `truth` is None where no label fits."""

    fields: Mapping[str, object]
    truth: str | None


@dataclass(frozen=True, slots=True)
class Script:
    """What a use case's `demo.yaml` says: two inputs to look at, and the secret inside the second."""

    question: Mapping[str, object]
    personal: Mapping[str, object]
    secret: str


@dataclass(frozen=True, slots=True)
class Observed:
    """One answer as the client saw it. `correct` is None where no label fits the message."""

    route: str
    correct: bool | None
    latency_ms: float
    cost_usd: float
    degraded: bool


def first_to_show() -> str:
    """The first use case that has a script. Raises `StepError`."""
    scripted = (name for name in list_usecases() if (usecases_dir() / name / SCRIPT).is_file())
    if (name := next(scripted, None)) is None:
        raise StepError(f"no use case has a {SCRIPT}, which holds `question`, `personal` and `secret`")
    return name


def read_script(usecase: UseCase) -> Script:
    """`demo.yaml` of the use case. Raises `StepError` that says what it must hold."""
    file = usecase.path(SCRIPT)
    if not file.is_file():
        raise StepError(f"{usecase.name}/demo.yaml is missing: it holds `question`, `personal` and `secret`")
    raw = yaml.safe_load(file.read_text(encoding="utf-8"))
    try:
        return Script(**raw)
    except TypeError:
        raise StepError(f"{usecase.name}/demo.yaml: expected just `question`, `personal`, `secret`") from None


def choose(
    usecase: UseCase, which: Literal["sample", "full"], cache: Path, labelled: int, outside: int
) -> list[Message]:
    """A seeded choice of test messages, never trained on, and of messages that no label fits, mixed."""
    from feature_checks.datasets import load_labelled

    data = load_labelled(usecase, which, cache)
    sample = load_labelled(usecase, "sample", cache) if which != "sample" else data
    known = data.test.sample(min(labelled, len(data.test)), random_state=SEED)
    strange = sample.outside.sample(min(outside, len(sample.outside)), random_state=SEED)
    names = list(usecase.input)
    messages = [Message({n: row[n] for n in names}, row[usecase.label]) for row in known.to_dict("records")]
    messages += [Message({n: row[n] for n in names}, None) for row in strange.to_dict("records")]
    random.Random(SEED).shuffle(messages)  # noqa: S311  — a choice to show, nothing to guess
    return messages


class Client:
    """The orchestrator's HTTP API, as an application developer would call it."""

    def __init__(self, url: str, key: str, usecase: UseCase) -> None:
        self._url = url
        self._headers = {"authorization": f"Bearer {key}"}
        self._usecase = usecase

    def decide(self, fields: Mapping[str, object]) -> dict[str, Any]:
        """One `POST /v1/decide`. Raises `ProcessError` on any status but 200."""
        with httpx.Client(timeout=REQUEST_TIMEOUT_S) as client:
            answer = client.post(f"{self._url}/v1/decide", headers=self._headers, json=self._body(fields))
        return self._read(answer)

    def replay(self, messages: Sequence[Message], tick: Callable[[], None]) -> list[Observed]:
        """Send messages in order, `CLIENTS` at once, for up to `TRAFFIC_S`; `tick` is called after each."""
        return asyncio.run(self._replay(messages, tick))

    async def _replay(self, messages: Sequence[Message], tick: Callable[[], None]) -> list[Observed]:
        gate = asyncio.Semaphore(CLIENTS)
        until = time.monotonic() + TRAFFIC_S
        async with httpx.AsyncClient(timeout=REQUEST_TIMEOUT_S) as client:

            async def one(message: Message) -> Observed | None:
                async with gate:
                    if time.monotonic() > until:
                        return None
                    started = time.perf_counter()
                    answer = await client.post(
                        f"{self._url}/v1/decide", headers=self._headers, json=self._body(message.fields)
                    )
                    latency_ms = 1000 * (time.perf_counter() - started)
                tick()
                return self._observe(message, self._read(answer), latency_ms)

            seen = await asyncio.gather(*(one(m) for m in messages))
        return [observed for observed in seen if observed is not None]

    def _observe(self, message: Message, answer: Mapping[str, Any], latency_ms: float) -> Observed:
        label = answer["output"].get(self._usecase.label)
        correct = None if message.truth is None else label == message.truth
        cost = float(receipt_claims(answer["receipt"]).get("cost_usd") or 0.0)
        return Observed(answer["route"], correct, latency_ms, cost, answer["degraded"])

    def _body(self, fields: Mapping[str, object]) -> dict[str, object]:
        return {"use_case": self._usecase.name, "input": dict(fields)}

    @staticmethod
    def _read(answer: httpx.Response) -> dict[str, Any]:
        if answer.status_code != httpx.codes.OK:
            raise ProcessError(f"the orchestrator answered {answer.status_code}: {answer.text[:300]}")
        body: dict[str, Any] = answer.json()
        return body


def receipt_claims(receipt: str) -> dict[str, Any]:
    """The claims inside a receipt, unverified: for display only; `switchyard receipt verify` verifies."""
    payload = receipt.split(".")[1]
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return claims
