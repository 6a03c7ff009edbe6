"""What no rule or model settles: opinion, final rules, person; with a real endpoint on loopback."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from registry.loading import LoadedModel
from registry.records import Contribution, Prediction
from services.bootstrap import Edges, bootstrap
from services.online_features import MemoryHistories
from services.runtime import Runtime
from services.settings import load_settings
from services.values import Caller, Context, Decision
from tests.fakes import FakePredictor
from tests.scripted_endpoint import ScriptedEndpoint
from tests.served import FakePlaced, all_bytes

FOLDER = Path(__file__).parents[2] / "usecases"
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
CARD, TERMINAL = 493_817_265, 715_204_938
NAMED = ("Card: ", "Terminal: ")
PRICES = {"usd_per_million_input": 0.1, "usd_per_million_output": 0.1}


@dataclass
class Leaning(FakePlaced):
    """A model that says this much and is never sure enough."""

    def load(self, name: str) -> LoadedModel:
        loaded = super().load(name)
        strict = loaded.acceptance.model_copy(update={"max_error": 0.001, "threshold": 0.99})
        return replace(loaded, acceptance=strict)


class Says(FakePredictor):
    """Leans to what a test says, always for the same two reasons. `combined` as a model of scores has it."""

    combined: bool | None = None

    def __init__(self) -> None:
        super().__init__(("approve", "decline"), "approve")

    def lean(self, label: str, confidence: float) -> None:
        told = (Contribution("spent", 80.0, 1.5), Contribution("customer_count_1d", 3.0, -0.2))
        self._prediction = Prediction(label, confidence, told, self.combined)


def payment(**changed: object) -> dict[str, object]:
    at = (NOW - timedelta(minutes=1)).isoformat()
    given: dict[str, object] = {"transaction_id": 1, "at": at, "customer_id": CARD, "terminal_id": TERMINAL}
    return {**given, "amount": 80, **changed}


@dataclass
class Bank:
    """A served use case with a real endpoint. `decide` sends one payment; the model leans as it is told."""

    runtime: Runtime
    model: Says
    endpoint: ScriptedEndpoint
    sent: int = 0

    async def decide(self, leans: tuple[str, float], opinion: str = "review", **changed: object) -> Decision:
        self.model.lean(*leans)
        self.endpoint.answer = {"decision": opinion, "why": "Four facts agree."}
        self.sent += 1
        calls, caller = self.runtime.calls, Caller("bank", "key", frozenset({"caller"}))
        usecase, sent = calls.usecase("fraud", "use_case"), payment(transaction_id=self.sent, **changed)
        until = time.monotonic() + 30
        call = calls.call(usecase, sent, Context(), f"{self.sent:032x}", caller, until)
        return await self.runtime.pipeline.decide(call)


@asynccontextmanager
async def bank(home: Path) -> AsyncIterator[Bank]:
    model = Says()
    edges = Edges(placed=Leaning(model), histories=MemoryHistories(), event_clock=NOW.timestamp)
    with ScriptedEndpoint() as endpoint:
        primary = {"base_url": endpoint.url, "model": "scripted", "region": "eu", **PRICES}
        settings = load_settings(home=home, usecases_dir=FOLDER, endpoints={"primary": primary})
        async with bootstrap(settings, edges) as runtime:
            yield Bank(runtime, model, endpoint)


async def test_final_rules_combine_what_the_model_leans_to_with_the_opinion(tmp_path: Path) -> None:
    cases: list[tuple[tuple[str, float], str, float, str]] = [
        (("decline", 0.7), "decline", 80, "decline"),
        (("decline", 0.7), "approve", 80, "review"),
        (("decline", 0.7), "review", 80, "review"),
        (("approve", 0.97), "approve", 80, "approve"),
        (("approve", 0.97), "approve", 5000, "review"),
        (("approve", 0.6), "approve", 80, "review"),
        (("approve", 0.97), "decline", 80, "review"),
    ]
    async with bank(tmp_path) as it:
        for leans, opinion, amount, decision in cases:
            found = await it.decide(leans, opinion, amount=amount)
            assert (found.route, found.output["decision"], found.degraded) == ("merge", decision, False)
            assert found.versions["model"] == "scripted"
            assert "prompt" in found.versions
            assert any(r.startswith("local: ") and "the amount is 80.00" in r for r in found.reasons)
            assert any(r.startswith("cloud/primary: ") and "as an opinion" in r for r in found.reasons)
            assert all(" would " in r for r in found.reasons)
            assert (found.review_id is not None) == (decision == "review" or leans[1] < 0.99)


async def test_nothing_that_names_card_or_terminal_leaves(tmp_path: Path) -> None:
    """What arrives at the endpoint are pseudonyms: equal for equal ones, and not those that we keep."""
    async with bank(tmp_path) as it:
        await it.decide(("decline", 0.7))
        await it.decide(("decline", 0.7))
        await it.decide(("decline", 0.7), customer_id=CARD + 1)
    requests = it.endpoint.requests
    assert len(requests) == 3
    for seen in requests:
        assert str(CARD).encode() not in seen.body
        assert str(TERMINAL).encode() not in seen.body
    first, again, other = (
        dict(line.split(": ", 1) for line in seen.prompt().splitlines() if line.startswith(NAMED))
        for seen in requests
    )
    assert first == again
    assert first["Card"] != other["Card"]
    assert first["Terminal"] == other["Terminal"]
    kept = all_bytes(tmp_path)
    for pseudonym in first.values():
        assert pseudonym.encode() not in kept
    assert str(CARD).encode() not in kept
    prompt = requests[0].prompt()
    assert "- the card was used 1 times within a day" in prompt
    assert "decline with probability 0.70, where 0.99 is asked for, since the amount is 80.00" in prompt


async def test_with_the_cloud_gone_or_of_no_use_a_person_decides(tmp_path: Path) -> None:
    async with bank(tmp_path) as it:
        for number, how in enumerate(("refuse", "http_500", "garbage", "prose")):
            it.endpoint.will(how)
            found = await it.decide(("approve", 0.97), "approve", customer_id=CARD + number)
            assert (found.route, found.output["decision"]) == ("safe_default", "review"), how
            assert found.degraded
            assert found.review_id is not None
        it.endpoint.will("ok")
        found = await it.decide(("approve", 0.97), "certainly")
    assert (found.route, found.output["decision"]) == ("safe_default", "review")
    assert "certainly" not in json.dumps(found.reasons)


async def test_what_a_rule_leaves_open_reaches_a_person_too(tmp_path: Path) -> None:
    async with bank(tmp_path) as it:
        found = await it.decide(("approve", 0.999), amount=50_000)
        await asyncio.sleep(0)
        await it.runtime.reviews.close()
        (waiting,) = it.runtime.reviews.store.waiting("bank", "reviewer", None, NOW.isoformat(), 10)
    assert (found.route, found.output["decision"]) == ("rules", "review")
    assert (waiting.id, waiting.why) == (found.review_id, "left_open")
    assert it.endpoint.requests == []


async def test_what_became_of_a_devices_score_is_said(tmp_path: Path) -> None:
    """None came; one came to a model that has learned nothing of it; one was weighed, and is a reason."""
    async with bank(tmp_path) as it:
        unknown = await it.decide(("decline", 0.7), device_score=0.9)
        it.model.combined = False
        missing = await it.decide(("decline", 0.7), customer_id=CARD + 1)
        it.model.combined = True
        weighed = await it.decide(("decline", 0.7), customer_id=CARD + 2, device_score=0.9)
        sent = it.model.seen[-1]
    local = [next(r for r in one.reasons if r.startswith("local: ")) for one in (unknown, missing, weighed)]
    assert "the device_score that came was not weighed" in local[0]
    assert "decided without a device_score: none came" in local[1]
    assert "device_score" not in local[2]
    assert sent["device_score"] == 0.9
