"""A threshold that follows cost: within the team's bounds, never below the promise, at most so often."""

import asyncio
import json
import shutil
from pathlib import Path

import httpx
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from feature_checks.cost_spec import CostSpec
from registry.rollout_database import RolloutDatabase
from registry.thresholds import Change, Thresholds
from services import thresholds_cli
from services.adjusting import decide, waiting
from services.what_if import Estimate, Logged, Point
from services.what_if_rows import WhatIfRows
from switchyard.cli import build
from tests.fakes import REPOSITORY
from tests.served import served

SPEC = CostSpec(usd_per_1000=1.0, highest=0.95)
DIGEST = "1" * 64


def point(threshold: float, usd: float, right: float = 0.9, gain: float = 0.0, assumed: float = 0.0) -> Point:
    """`gain` is the lower end of its interval."""
    sure = Estimate(gain + 0.01, gain, gain + 0.02)
    cost = Estimate(usd, usd, usd)
    return Point(threshold, 0.5, Estimate(right, right, right), 0, 1, cost, assumed, sure)


def test_too_dear_it_falls_to_the_highest_threshold_that_can_be_paid() -> None:
    points = [point(0.6, 0.3), point(0.7, 0.8), point(0.8, 0.99), point(0.9, 1.2)]
    verdict = decide(points, SPEC, floor=0.6, current=0.9)
    assert verdict.threshold == 0.8
    assert verdict.reason.startswith("over 1 USD per 1,000 answers: 1.2 -> 0.99")
    assert verdict.figures["usd_before"] == 1.2


def test_where_nothing_can_be_paid_the_promise_still_holds() -> None:
    points = [point(0.4, 0.1), point(0.6, 1.5), point(0.9, 2.0)]
    assert decide(points, SPEC, floor=0.6, current=0.9).threshold == 0.6
    assert decide(points, SPEC, floor=0.6, current=0.6).threshold is None


def test_it_rises_only_for_a_gain_that_is_certain_and_paid_for() -> None:
    points = [
        point(0.6, 0.2),
        point(0.7, 0.4, gain=0.002),
        point(0.8, 0.6, gain=0.01),
        point(0.9, 1.5, gain=0.1),
    ]
    assert decide(points, SPEC, floor=0.6, current=0.6).threshold == 0.8
    unsure = [point(0.6, 0.2, gain=-0.01), point(0.8, 0.6, gain=-0.001)]
    assert decide(unsure, SPEC, floor=0.6, current=0.6).threshold is None


def test_it_rises_in_steps_into_what_nobody_has_seen() -> None:
    points = [
        point(0.6, 0.2),
        point(0.7, 0.4, gain=0.01, assumed=0.05),
        point(0.8, 0.6, gain=0.1, assumed=0.06),
    ]
    assert decide(points, SPEC, floor=0.6, current=0.6).threshold == 0.7


def test_no_less_often_right_and_cheaper_it_falls() -> None:
    points = [point(0.6, 0.2, gain=-0.001), point(0.7, 0.4), point(0.8, 0.6), point(0.9, 0.8)]
    assert decide(points, SPEC, floor=0.6, current=0.8).threshold == 0.7


def test_too_few_reviews_or_no_room_move_nothing() -> None:
    assert decide([], SPEC, floor=0.6, current=0.6).threshold is None
    assert "no room" in decide([point(0.97, 5.0)], SPEC, floor=0.97, current=0.97).reason


SHARES = st.floats(0, 1)


@given(
    st.lists(st.tuples(SHARES, st.floats(0, 5), SHARES, st.floats(-1, 1), SHARES), max_size=12),
    SHARES,
    SHARES,
)
def test_whatever_the_figures_it_stays_within_the_bounds(
    rows: list[tuple[float, float, float, float, float]], floor: float, current: float
) -> None:
    current = max(floor, min(current, SPEC.highest))
    by_threshold = {row[0]: point(*row) for row in rows}
    for one in (floor, current):
        by_threshold.setdefault(one, point(one, 0.5))
    verdict = decide([by_threshold[t] for t in sorted(by_threshold)], SPEC, floor, current)
    if verdict.threshold is not None:
        assert floor <= verdict.threshold <= SPEC.highest
        assert verdict.threshold != current


def test_one_change_in_so_many_hours_whatever_the_clocks_say() -> None:
    assert waiting(SPEC, None, 0.0) is None
    assert waiting(SPEC, 0.0, 24 * 3600.0) is None
    assert "0.5 hours" in str(waiting(SPEC, 0.0, 23.5 * 3600))
    assert "24.0 hours" in str(waiting(SPEC, 10**9, 0.0))


def with_cost(folder: Path) -> Path:
    """The shipped use cases, where support's threshold may follow cost."""
    usecases = folder / "usecases"
    shutil.copytree(REPOSITORY / "usecases", usecases)
    file = usecases / "support" / "usecase.yaml"
    read = yaml.safe_load(file.read_text())
    read["local"]["cost"] = {"usd_per_1000": 1.0, "highest": 0.95}
    file.write_text(yaml.safe_dump(read, sort_keys=False))
    return usecases


def keep(home: Path, threshold: float, after: int, model: str = DIGEST) -> None:
    database = RolloutDatabase(home / "rollouts.db")
    kept = Change(use_case="support", model=model, threshold=threshold, at_s=1.0, by="test", reason="to see")
    Thresholds(database).change(kept, after)
    database.close()


async def until(asked: httpx.AsyncClient, locally: bool) -> dict[str, object]:
    """Ask until the local model answers, or does no more; the test's own limit ends a vain wait."""
    body = {"use_case": "support", "input": {"text": "Where is my card?"}}
    while True:
        found: dict[str, object] = (await asked.post("/v1/decide", json=body)).json()
        if (found["route"] == "local") is locally:
            return found
        await asyncio.sleep(0.02)


@pytest.mark.timeout(60)
async def test_workers_follow_a_raised_threshold_up_to_the_teams_bound_and_never_below_the_promise(
    tmp_path: Path,
) -> None:
    """Confidence 0.94, calibrated at 0.8, `highest` 0.95; a change for another model is nothing to it."""
    usecases = with_cost(tmp_path)
    keep(tmp_path, 0.95, 0, model="2" * 64)
    async with served(tmp_path, 0.94, usecases_dir=usecases, rollout_poll_s=0.05) as app:
        assert (await app.decide()).json()["route"] == "local"
        keep(tmp_path, 1.0, 1)
        raised = await until(app.client, locally=False)
        assert "0.95" in str(raised["reasons"])
        keep(tmp_path, 0.1, 2)
        lowered = await until(app.client, locally=True)
        assert "is at least 0.8" in str(lowered["reasons"])


@pytest.mark.timeout(60)
async def test_without_bounds_in_usecase_yaml_no_change_is_obeyed(tmp_path: Path) -> None:
    keep(tmp_path, 1.0, 0)
    async with served(tmp_path, 0.85, rollout_poll_s=0.05) as app:
        assert (await app.decide()).json()["route"] == "local"


@pytest.fixture
def following(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SWITCHYARD_USECASES", str(with_cost(home.parent)))
    monkeypatch.setattr(thresholds_cli, "_served", lambda settings, model: (DIGEST, 0.6))
    dear = [Logged(0.5, index / 100, True, True, index >= 60, 0.01) for index in range(100)]
    rows = WhatIfRows(dear, DIGEST, {})
    monkeypatch.setattr("services.what_if_rows.read_rows", lambda *_: rows)
    home.mkdir()
    return home


def run(*words: str) -> str:
    said = CliRunner().invoke(build(), ["thresholds", *words])
    assert said.exit_code == 0, said.output
    return said.output


def test_the_command_changes_once_records_why_and_waits(following: Path) -> None:
    keep(following, 0.9, 0)
    assert "would be" in run("adjust", "support", "--dry-run")
    assert len(json.loads(run("show", "support", "--json"))) == 1
    changed = json.loads(run("adjust", "support", "--json"))
    assert (changed["changed"], changed["current"], changed["calibrated"]) == (True, 0.9, 0.6)
    assert 0.6 <= changed["threshold"] < 0.9
    last = json.loads(run("show", "support", "--json"))[-1]
    assert (last["threshold"], last["model"]) == (changed["threshold"], DIGEST)
    assert last["figures"] == changed["figures"]
    keep(following, 0.9, 2)  # at second 1 of the epoch: long ago
    assert json.loads(run("adjust", "support", "--json"))["changed"] is True
    again = json.loads(run("adjust", "support", "--json"))
    assert again["changed"] is False
    assert "next change may come in" in again["waits"]
    assert "the calibrated threshold 0.6 is in force" in run("reset", "support", "--reason", "to see")
    assert "the calibrated one" in run("show", "support")


def test_a_use_case_without_bounds_says_how_to_set_them(home: Path) -> None:
    said = CliRunner().invoke(build(), ["thresholds", "adjust", "support"])
    assert said.exit_code != 0
    assert "local.cost" in str(said.exception) + said.output
