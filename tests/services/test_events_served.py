"""A use case of events is served by the same orchestrator: rules, local model, safe default, and reasons."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from feature_checks.usecase import UseCase, load_usecase
from services.api.feedback import learn
from services.bootstrap import Edges, bootstrap
from services.errors import InputError, StateUnavailable
from services.feedback import Truth
from services.online_features import MemoryHistories
from services.replay import Watcher
from services.settings import load_settings
from services.synthesis import Outcome
from services.values import Caller, Context, Decision, Envelope
from tests.served import served

FOLDER = Path(__file__).parents[2] / "usecases"
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


class Gone(MemoryHistories):
    async def change(self, *args: object) -> None:  # type: ignore[override]  # whatever is asked
        raise StateUnavailable("gone")


def decide(
    tmp_path: Path, *payments: dict[str, object], histories: MemoryHistories | None = None
) -> list[Decision]:
    """Payments sent one after the other, at noon of one day."""
    edges = Edges(
        endpoints={},
        histories=histories or MemoryHistories(),
        event_clock=NOW.timestamp,
        observers=(Watcher(),),
        reviewing=False,
    )

    async def run() -> list[Decision]:
        settings = load_settings(home=tmp_path / "home", usecases_dir=FOLDER)
        async with bootstrap(settings, edges) as runtime:
            usecase = runtime.calls.usecase("fraud", "use_case")
            caller = Caller("bank", "key", frozenset({"caller"}))
            found = []
            for number, payment in enumerate(payments):
                call = runtime.calls.call(
                    usecase, payment, Context(), f"id{number}", caller, time.monotonic() + 30
                )
                found.append(await runtime.pipeline.decide(call))
            return found

    return asyncio.run(run())


def payment(**changed: object) -> dict[str, object]:
    at = NOW - timedelta(minutes=1)
    return {
        "transaction_id": 1,
        "at": at.isoformat(),
        "customer_id": 7,
        "terminal_id": 3,
        "amount": 12.5,
        **changed,
    }


@pytest.fixture
def usecase() -> UseCase:
    return load_usecase("fraud", FOLDER)


def test_a_blocked_terminal_is_declined_by_a_rule(tmp_path: Path) -> None:
    (found,) = decide(tmp_path, payment(terminal_id=999999901))
    assert (found.route, found.output["decision"]) == ("rules", "decline")


def test_a_rule_sees_how_often_a_card_was_used(tmp_path: Path) -> None:
    many = [payment(transaction_id=n, terminal_id=n) for n in range(42)]
    found = decide(tmp_path, *many)
    assert found[30].route == "safe_default"
    assert (found[-1].route, found[-1].output["decision"]) == ("rules", "decline")


def test_without_model_and_cloud_a_person_decides(tmp_path: Path) -> None:
    (found,) = decide(tmp_path, payment())
    assert (found.route, found.output["decision"], found.degraded) == ("safe_default", "review", True)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"at": (NOW + timedelta(hours=1)).isoformat()}, "in the future"),
        ({"at": (NOW - timedelta(days=9)).isoformat()}, "older than"),
        ({}, "nothing is remembered of this customer_id"),
    ],
)
def test_an_unusual_event_is_named_in_the_reasons(
    tmp_path: Path, changed: dict[str, object], said: str
) -> None:
    (found,) = decide(tmp_path, payment(**changed))
    assert any(reason.startswith("features: ") and said in reason for reason in found.reasons)
    assert found.output["decision"] == "review"


def test_a_duplicate_and_a_late_arrival_are_named(tmp_path: Path) -> None:
    earlier = payment(transaction_id=2, at=(NOW - timedelta(hours=2)).isoformat())
    _, again, late = decide(tmp_path, payment(), payment(), earlier)
    assert any("seen before" in reason for reason in again.reasons)
    assert any("out of order" in reason for reason in late.reasons)


def test_without_its_state_nothing_is_guessed(tmp_path: Path) -> None:
    (found,) = decide(tmp_path, payment(), histories=Gone())
    assert found.output["decision"] == "review"
    assert found.degraded
    assert any("cannot be reached" in reason for reason in found.reasons)


def test_an_absurd_amount_is_answered_and_not_remembered(tmp_path: Path) -> None:
    """The rules decide; the next payment's features know nothing of one beyond the field's bounds."""
    histories = MemoryHistories()
    cases = [
        (-5.0, "decline", "amount is less than 0"),
        (2e6, "review", "amount is more than 1e+06"),
        (1e300, "review", "amount is more than 1e+06"),
    ]
    found = decide(tmp_path, *(payment(amount=amount) for amount, _, _ in cases), histories=histories)
    for one, (_, decision, said) in zip(found, cases, strict=True):
        assert one.output["decision"] == decision
        assert any(said in reason for reason in one.reasons)
    assert not histories._held
    assert found[0].route == "rules"
    (checked,) = decide(tmp_path, payment(amount=0), histories=histories)  # a card that a shop checks
    assert checked.route != "rules"
    assert histories._held


def test_an_amount_that_no_number_holds_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"input\.amount: expected a finite number"):
        decide(tmp_path, payment(amount=10**400))


def test_feedback_that_a_payment_was_fraud_raises_the_terminals_risk_once_it_counts_as_known(
    tmp_path: Path, usecase: UseCase
) -> None:
    """Not before the delay has passed, as in training; and feedback that it was good raises nothing."""
    histories, now, watcher = MemoryHistories(), [NOW], Watched()

    def clock() -> float:
        return now[0].timestamp()

    edges = Edges(endpoints={}, histories=histories, event_clock=clock, observers=(watcher,), reviewing=False)

    async def run() -> list[float]:
        settings = load_settings(home=tmp_path / "home", usecases_dir=FOLDER)
        found = []
        async with bootstrap(settings, edges) as runtime:
            caller = Caller("bank", "key", frozenset({"caller"}))
            spec = runtime.calls.usecase("fraud", "use_case")

            async def pay(number: int) -> None:
                sent = payment(transaction_id=number, at=(now[0] - timedelta(minutes=1)).isoformat())
                until = time.monotonic() + 30
                await runtime.pipeline.decide(
                    runtime.calls.call(spec, sent, Context(), f"id{number}", caller, until)
                )
                await asyncio.sleep(0)

            await pay(1)
            first = watcher.seen[-1]
            record = {
                "use_case": "fraud",
                "tenant": "bank",
                "request": {"fields": dict(first.fields)},
            }
            await pay(2)
            await learn(runtime, record, Truth(False, "decline"))
            await learn(runtime, record, Truth(True, "approve"))
            for days in (1, 10):
                now[0] = NOW + timedelta(days=days)
                await pay(2 + days)
                found.append((watcher.seen[-1].features or {})["terminal_positives_21d"])
        return found

    assert asyncio.run(run()) == [0.0, 1.0]


class Watched:
    """Keeps the envelopes of recorded requests."""

    def __init__(self) -> None:
        self.seen: list[Envelope] = []

    def __call__(self, envelope: Envelope, outcome: Outcome) -> None:
        self.seen.append(envelope)


async def test_one_orchestrator_serves_messages_and_payments(tmp_path: Path) -> None:
    """The shipped use cases of both kinds, by one process: a text by its model, a payment by its rules."""
    async with served(tmp_path) as app:
        message = await app.decide("Where is my card?")
        at = datetime.now(UTC) - timedelta(minutes=1)
        body = {"use_case": "fraud", "input": payment(terminal_id=999999901, at=at.isoformat())}
        paid = (await app.client.post("/v1/decide", json=body)).json()
    assert message.json()["route"] == "local"
    assert (paid["route"], paid["output"]["decision"]) == ("rules", "decline")
    assert message.json()["versions"]["config"] != paid["versions"]["config"]
