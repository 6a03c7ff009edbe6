"""Rollouts under real traffic: two workers of `bentoml serve`, the real store, and the commands' own tick."""

import itertools
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from bench.candidates import (
    Change,
    as_it_is,
    no_number,
    outside_the_contract,
    place_candidate,
    wrong_in_a_fifth,
)
from bench.sample_model import place_sample_model
from feature_checks.datasets import load_labelled
from registry.records import ModelRef
from registry.rollout import Move, Rollout, State, started
from registry.rollout_guard import Guard, LatencyMetric, RateMetric
from registry.rollout_moves import ask
from registry.rollout_store import Rollouts
from registry.rollout_tick import tick
from tests.fakes import REPOSITORY, support
from tests.integration.serving import Serving, eventually, serving
from tests.services.rollouts.configs import begun, changed

pytestmark = pytest.mark.integration

WORKERS = 2
LABELS = 10
COMPONENT = "support/local"
GUARD = Guard(
    metrics=(
        RateMetric(name="errors", margin=0.1),
        LatencyMetric(name="latency", ratio=20.0, required=False),
        RateMetric(name="wrong", margin=0.05),
    ),
    min_samples=20,
    novelty_s=0.5,
)
_versions = itertools.count(2)


class Rig:
    """A server with stable version 1, and the messages that it answers by its model."""

    def __init__(
        self, server: Serving, stable: ModelRef, scratch: Path, messages: list[tuple[str, str]]
    ) -> None:
        self.server = server
        self.stable = stable
        self.scratch = scratch
        self.messages = messages
        self.people = itertools.count()
        self.client = server.client("caller", "operator", "auditor")

    def begin(self, change: Change, weight: float = 50.0) -> Rollout:
        """A rollout in canary; the one before has ended."""
        version = next(_versions)
        place_candidate(self.server.home, self.stable, version, self.scratch, change)
        rollout = Rollout(
            id=f"{version:032x}", component=COMPONENT, stable="1", candidate=str(version),
            steps=(weight, 100.0), guard=GUARD, step_since_s=time.time(),
        )  # fmt: skip
        with self.kept() as kept:
            kept.start(rollout, started(rollout, by="a test", reason="to see"))
        return self.wish(Move.ADVANCE)

    def kept(self) -> Rollouts:
        return Rollouts(self.server.home / "rollouts.db")

    def wish(self, move: Move) -> Rollout:
        with self.kept() as kept:
            return ask(kept, COMPONENT, move, by="a test", reason="to see", at_s=time.time())

    def state(self) -> State:
        with self.kept() as kept:
            return kept.latest(COMPONENT).state

    def decide(self, text: str, client: httpx.Client | None = None, **headers: str) -> dict[str, object]:
        """One answer, which there always is, on a connection of its own: any worker may take it."""
        person = f"person {next(self.people)}"
        body = {"use_case": "support", "input": {"text": text}, "context": {"subject": person}}
        answer = (client or self.client).post(
            "/v1/decide", json=body, headers={"connection": "close", **headers}
        )
        assert answer.status_code == 200, answer.text
        found: dict[str, object] = answer.json()
        return found

    def variant(self, decision: dict[str, object]) -> dict[str, object] | None:
        record = self.client.get(f"/v1/decisions/{decision['id']}").json()
        return record.get("rollouts", [None])[0]


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    scratch = tmp_path_factory.mktemp("rollouts")
    home = scratch / "home"
    stable = place_sample_model(home, support(), scratch / "model", threshold=0.0, labels=LABELS)
    rows = load_labelled(support(), "sample", scratch / "model" / "data").train
    few = sorted(set(rows["intent"]))[:LABELS]
    messages = [(row.text, row.intent) for row in rows.itertuples() if row.intent in few]
    with serving(
        scratch, home,
        SWITCHYARD_USECASES=str(REPOSITORY / "usecases"), SWITCHYARD_WORKERS=str(WORKERS),
        SWITCHYARD_ROLLOUT_POLL_S="0.5", SWITCHYARD_MODEL_POLL_S="0.5",
    ) as server:  # fmt: skip
        yield Rig(server, stable, scratch, messages)


@pytest.fixture(autouse=True)
def _ended(rig: Rig) -> Iterator[None]:
    yield
    with rig.kept() as kept:
        if kept.live():
            ask(kept, COMPONENT, Move.ABORT, by="a test", reason="over", at_s=time.time())


def test_both_sides_answer_whoever_is_asked_and_an_abort_reaches_every_worker(rig: Rig) -> None:
    rollout = rig.begin(as_it_is)
    text = rig.messages[0][0]
    seen: set[object] = set()
    for _ in eventually(60):
        variant = rig.variant(rig.decide(text))
        if variant is not None and variant["why"] == "weight":
            assert variant["rollout"] == rollout.id
            seen.add((variant["variant"], variant["version"]))
        if len(seen) == 2:
            break
    assert seen == {("stable", "1"), ("candidate", rollout.candidate)}
    rig.wish(Move.ABORT)
    for _ in eventually(60):
        if all(rig.variant(rig.decide(text)) is None for _ in range(2 * WORKERS)):
            break


@pytest.mark.parametrize("change", [no_number, outside_the_contract])
def test_of_a_candidate_that_fails_hard_ten_requests_know_and_all_are_answered(
    rig: Rig, change: Change
) -> None:
    rollout = rig.begin(change, weight=100.0)
    saw = 0
    for _ in eventually(90):
        found = rig.decide(rig.messages[0][0])
        assert found["route"] == "local"
        variant = rig.variant(found)
        saw += variant is not None and bool(variant["failed"])
        if rig.state() is State.ROLLED_BACK:
            break
    for _ in range(20):
        variant = rig.variant(rig.decide(rig.messages[0][0]))
        saw += variant is not None and bool(variant["failed"])
    assert 1 <= saw <= 10
    with rig.kept() as kept:
        assert kept.records(rollout.id)[-1].by == "worker"


def test_a_candidate_with_a_fifth_of_wrong_answers_is_rolled_back_by_what_callers_say(rig: Rig) -> None:
    """`bench.rollouts` measures how soon, at 5 % of 50 requests a second."""
    rig.begin(wrong_in_a_fifth, weight=50.0)
    messages = itertools.cycle(rig.messages)
    for _ in eventually(200):
        for text, label in itertools.islice(messages, 10):
            found = rig.decide(text)
            said = {"id": found["id"], "label": label}
            assert rig.client.post("/v1/feedback", json=said).status_code == 200
        with rig.kept() as kept:
            tick(kept, by="a controller", at_s=time.time())
        if rig.state() is not State.CANARY:
            break
    assert rig.state() is State.ROLLED_BACK
    with rig.kept() as kept:
        assert "wrong" in kept.records(kept.latest(COMPONENT).id)[-1].reason


def test_a_kill_switch_turned_by_its_command_takes_a_target_out_of_every_worker(rig: Rig) -> None:
    def turn(how: str) -> None:
        command = [sys.executable, "-m", "switchyard", "flags", how, "target:support/local"]
        env = {"SWITCHYARD_HOME": str(rig.server.home), "PATH": ""}
        subprocess.run(command, check=True, env=env, cwd=REPOSITORY, timeout=120, capture_output=True)

    text = rig.messages[0][0]
    turn("kill")
    for _ in eventually(60):
        if all(rig.decide(text)["route"] != "local" for _ in range(2 * WORKERS)):
            break
    turn("restore")
    for _ in eventually(60):
        if all(rig.decide(text)["route"] == "local" for _ in range(2 * WORKERS)):
            break


def test_a_configuration_reaches_its_share_through_every_worker_and_goes_at_once(
    rig: Rig, tmp_path: Path
) -> None:
    """Out of the signed copy that lies with the rollouts."""
    usecases = REPOSITORY / "usecases"
    change = ("templates/replies.yaml", "I'm sorry", "We are sorry")
    rollout = begun(rig.server.home, usecases, changed(usecases, tmp_path / "next", change), "config")
    text = rig.messages[0][0]
    seen: set[object] = set()
    for _ in eventually(60):
        found = rig.decide(text)
        seen.add(found["versions"]["config"])  # type: ignore[index]  — JSON
        if len(seen) == 2:
            break
    assert seen == {rollout.stable, rollout.candidate}
    with rig.kept() as kept:
        ask(kept, "support/config", Move.ABORT, by="a test", reason="over", at_s=time.time())
    for _ in eventually(60):
        if all(rig.variant(rig.decide(text)) is None for _ in range(2 * WORKERS)):
            break
