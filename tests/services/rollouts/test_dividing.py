"""Rollouts in a whole served app: who is answered by which side, what is recorded, what a failure costs."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from registry.rollout import Move, State
from registry.rollout_tallies import RolloutTallies
from registry.switches import Switches, Turn
from services.receipt_check import verify_receipt
from services.receipt_keys import public_jwks
from tests.fakes import FakePredictor, support
from tests.served import FakeVersions, Served, served
from tests.services.rollouts.kept import COMPONENT, begin, kept, wish

LABELS = support().labels
STABLE, CANDIDATE = LABELS[0], LABELS[1]
FAST = {"rollout_poll_s": 0.05}


def versions(candidate: FakePredictor | None = None) -> FakeVersions:
    return FakeVersions(v1=FakePredictor(LABELS, STABLE), v2=candidate or FakePredictor(LABELS, CANDIDATE))


async def ask(app: Served, subject: str, **headers: str) -> dict[str, Any]:
    body = {"use_case": "support", "input": {"text": "Where is it?"}, "context": {"subject": subject}}
    answer = await app.client.post("/v1/decide", json=body, headers=headers)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def take_away(home: Path) -> None:
    for file in home.glob("rollouts.db*"):
        file.unlink()
    (home / "rollouts.db").mkdir()


async def soon(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not true():  # noqa: ASYNC110  — nothing announces it
            await asyncio.sleep(0.02)


async def recorded(app: Served, decision: dict[str, Any]) -> dict[str, Any]:
    found = await app.client.get(f"/v1/decisions/{decision['id']}")
    one: dict[str, Any] = found.json()["rollouts"][0]
    return one


async def test_each_person_is_answered_by_one_side_and_journal_and_receipt_name_it(tmp_path: Path) -> None:
    rollout = begin(tmp_path)
    async with served(tmp_path, versions=versions(), **FAST) as app:
        people = [f"person {i}" for i in range(40)]
        first = {who: await ask(app, who) for who in people}
        again = {who: await ask(app, who) for who in people}
        intents = {who: one["output"]["intent"] for who, one in first.items()}
        assert set(intents.values()) == {STABLE, CANDIDATE}
        assert intents == {who: one["output"]["intent"] for who, one in again.items()}
        for who in people[:5]:
            variant = "candidate" if intents[who] == CANDIDATE else "stable"
            one = await recorded(app, first[who])
            version = "2" if variant == "candidate" else "1"
            assert one == {
                "component": COMPONENT, "rollout": rollout.id, "step": rollout.step_id, "variant": variant,
                "version": version, "why": "weight", "failed": None,
            }  # fmt: skip
            claims = verify_receipt(str(first[who]["receipt"]), public_jwks(tmp_path / "keys"))
            assert claims["rollouts"] == [one]
            assert claims["versions"]["model"] == version * 64


async def test_what_both_sides_show_reaches_the_store_and_a_person_counts_once(tmp_path: Path) -> None:
    rollout = begin(tmp_path)
    async with served(tmp_path, versions=versions(), **FAST) as app:
        for i in range(40):
            await ask(app, f"person {i % 20}")
        with kept(tmp_path) as store:
            tallies = RolloutTallies(store.database)

            def all_counted() -> bool:
                whole, _ = tallies.period(rollout)
                return sum(s.metrics["errors"].n for s in (whole.stable, whole.candidate) if s.metrics) == 40

            await soon(all_counted)
            whole, settled = tallies.period(rollout)
    assert whole.stable.keys + whole.candidate.keys == 20
    assert set(whole.candidate.metrics) == {"errors", "validator_failures", "fallbacks", "latency", "cost"}
    assert not settled.candidate.metrics  # the step's first minute speaks for nobody


@pytest.mark.parametrize(
    "broken",
    [
        FakePredictor(LABELS, CANDIDATE, error=RuntimeError("it broke")),
        FakePredictor(LABELS, CANDIDATE, confidence=float("nan")),
        FakePredictor(LABELS, "a label of nobody"),
    ],
    ids=["raises", "not a number", "outside the contract"],
)
async def test_a_candidate_that_fails_hard_is_cut_off_and_rolled_back_while_everybody_is_answered(
    tmp_path: Path, broken: FakePredictor
) -> None:
    begin(tmp_path, steps=(100.0,))
    async with served(tmp_path, versions=versions(broken), workers=2, **FAST) as app:
        answers = [await ask(app, f"person {i}") for i in range(60)]
        assert {one["output"]["intent"] for one in answers} == {STABLE}
        assert {one["route"] for one in answers} == {"local"}
        assert len(broken.seen) <= 5  # two workers: ten together
        assert (await recorded(app, answers[0]))["failed"]

        def state() -> State:
            with kept(tmp_path) as store:
                return store.latest(COMPONENT).state

        await soon(lambda: state() is State.ROLLED_BACK)
    with kept(tmp_path) as store:
        assert store.records("ab" * 16)[-1].by == "worker"


async def test_an_abort_and_a_kill_switch_take_everybody_back(tmp_path: Path) -> None:
    begin(tmp_path, steps=(100.0,))
    async with served(tmp_path, versions=versions(), **FAST) as app:

        async def intent() -> object:
            return (await ask(app, "somebody"))["output"]["intent"]

        async def until(label: str) -> None:
            async with asyncio.timeout(20):
                while await intent() != label:  # noqa: ASYNC110  — nothing announces it
                    await asyncio.sleep(0.02)

        def turn(name: str, killed: bool) -> None:
            with kept(tmp_path) as store:
                turned = Turn(name=name, killed=killed, at_s=1.0, by="a test", reason="to see")
                Switches(store.database).turn(turned)

        await until(CANDIDATE)
        turn(f"rollout:{COMPONENT}", True)
        await until(STABLE)
        turn(f"rollout:{COMPONENT}", False)
        await until(CANDIDATE)
        turn("target:support/local", True)
        async with asyncio.timeout(20):
            while (found := await ask(app, "somebody"))["route"] == "local":  # noqa: ASYNC110  — as above
                await asyncio.sleep(0.02)
        assert any("kill switch" in reason for reason in found["reasons"])
        turn("target:support/local", False)
        await until(CANDIDATE)
        wish(tmp_path, Move.ABORT)
        await until(STABLE)


async def test_a_store_that_goes_away_leaves_the_last_known_state(tmp_path: Path) -> None:
    begin(tmp_path, steps=(100.0,))
    async with served(tmp_path, versions=versions(), **FAST) as app:
        assert (await ask(app, "somebody"))["output"]["intent"] == CANDIDATE
        take_away(tmp_path)
        await soon(lambda: bool(app.runtime.readiness().warnings))
        assert "last known state" in app.runtime.readiness().warnings[0]
        assert (await ask(app, "somebody"))["output"]["intent"] == CANDIDATE


async def test_a_version_that_is_not_there_is_said_and_nobody_gets_it(tmp_path: Path) -> None:
    begin(tmp_path, steps=(100.0,), candidate="7")
    async with served(tmp_path, versions=versions(), **FAST) as app:
        found = await ask(app, "somebody")
        assert found["output"]["intent"] == STABLE
        assert (await recorded(app, found))["why"] == "unavailable"
        assert any("version 7 is not placed" in warning for warning in app.runtime.readiness().warnings)


async def test_once_promoted_everybody_has_it_until_another_version_leads(tmp_path: Path) -> None:
    fakes = versions()
    begin(tmp_path, steps=(100.0,), advance=2)
    async with served(tmp_path, versions=fakes, **FAST) as app:
        assert (await ask(app, "somebody"))["output"]["intent"] == CANDIDATE
    fakes.leads = "3"
    async with served(tmp_path, versions=fakes, **FAST) as app:
        assert (await ask(app, "somebody"))["output"]["intent"] == STABLE  # the champion's, in this fake


async def test_only_an_operator_may_choose_a_side(tmp_path: Path) -> None:
    begin(tmp_path, steps=(50.0, 100.0))
    async with served(tmp_path, versions=versions(), **FAST) as app:
        for variant, label in (("candidate", CANDIDATE), ("stable", STABLE)):
            for who in ("one", "two", "three"):
                found = await ask(app, who, **{"x-switchyard-variant": f"{COMPONENT}={variant}"})
                assert found["output"]["intent"] == label
                assert (await recorded(app, found))["why"] == "forced"
        body = {"use_case": "support", "input": {"text": "hello"}}
        headers = {"x-switchyard-variant": f"{COMPONENT}=candidate"}
        caller = {**headers, "authorization": f"Bearer {app.key('caller')}"}
        assert (await app.client.post("/v1/decide", json=body, headers=caller)).status_code == 403
        headers["x-switchyard-variant"] = f"{COMPONENT}=mine"
        assert (await app.client.post("/v1/decide", json=body, headers=headers)).status_code == 422


async def test_feedback_speaks_for_or_against_the_side_that_answered(tmp_path: Path) -> None:
    rollout = begin(tmp_path, steps=(50.0, 100.0))
    async with served(tmp_path, versions=versions(), **FAST) as app:
        for i in range(12):
            found = await ask(app, f"person {i}")
            said = {"id": found["id"], "correct": found["output"]["intent"] == STABLE}
            assert (await app.client.post("/v1/feedback", json=said)).status_code == 200
        with kept(tmp_path) as store:
            tallies = RolloutTallies(store.database)

            def wrong() -> tuple[int, int]:
                sides = tallies.period(rollout)[0]
                found = [side.metrics.get("wrong") for side in (sides.stable, sides.candidate)]
                return sum(one.n for one in found if one), sum(one.hits for one in found if one)

            await soon(lambda: wrong()[0] == 12)
            sides = tallies.period(rollout)[0]
    assert sides.stable.metrics["wrong"].hits == 0
    assert sides.candidate.metrics["wrong"].hits == sides.candidate.metrics["wrong"].n > 0


async def test_feedback_that_comes_when_the_step_is_over_counts_for_that_step(tmp_path: Path) -> None:
    first = begin(tmp_path, steps=(50.0, 100.0))
    async with served(tmp_path, versions=versions(), **FAST) as app:
        found = [await ask(app, f"person {i}") for i in range(12)]
        wish(tmp_path, Move.ADVANCE)
        async with asyncio.timeout(20):
            while (await recorded(app, await ask(app, "somebody")))["step"] == first.step_id:  # noqa: ASYNC110  — nothing announces it
                await asyncio.sleep(0.02)
        for one in found:
            said = {"id": one["id"], "correct": one["output"]["intent"] == STABLE}
            assert (await app.client.post("/v1/feedback", json=said)).status_code == 200
        with kept(tmp_path) as store:
            tallies, now = RolloutTallies(store.database), store.latest(COMPONENT)

            def wrong() -> int:
                return sum(
                    side.metrics["wrong"].n
                    for whole, _ in tallies.earlier(now)
                    for side in (whole.stable, whole.candidate)
                    if "wrong" in side.metrics
                )

            await soon(lambda: wrong() == 12)
            errors = sum(
                side.metrics["errors"].n
                for whole, _ in tallies.earlier(now)
                for side in (whole.stable, whole.candidate)
            )
    assert errors >= 12  # what was counted of that step before is still there
