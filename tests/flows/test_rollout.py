"""The controller's step and its picture; what it decides is tested with the registry's tick."""

import base64
import secrets
from pathlib import Path

import pytest

from flows.rollout_steps import make_champion, one_tick, what_waits, why_barred
from registry import rollout_tick
from registry.rollout import Move, Rollout, State, move, started
from registry.rollout_evidence import Rate, Side
from registry.rollout_guard import Guard, RateMetric
from registry.rollout_store import Rollouts
from registry.rollout_tallies import Counted, RolloutTallies, Tally

GUARD = Guard(
    metrics=(RateMetric(name="errors", margin=0.05),), min_samples=20, novelty_s=0, step_limit_s=1e12
)


@pytest.fixture(autouse=True)
def _home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SWITCHYARD_HOME", str(tmp_path))
    monkeypatch.delenv("SWITCHYARD_DATABASE_URL", raising=False)


def canary(home: Path, stable: Rate, candidate: Rate) -> Rollout:
    """At 100 %, the last step; both sides counted."""
    rollout = Rollout(
        id=secrets.token_hex(16), component="desk/local", stable="1", candidate="2", steps=(50.0, 100.0),
        guard=GUARD, step_since_s=1000.0,
    )  # fmt: skip
    with Rollouts(home / "rollouts.db") as kept:
        kept.start(rollout, started(rollout, by="a test", reason="to see"))
        moved = move(rollout, Move.ADVANCE, by="a test", reason="to see", at_s=1000.0)
        assert moved is not None
        after, record = moved
        kept.save(rollout, after, record)
        count(kept, after, stable, candidate)
    return after


def count(kept: Rollouts, rollout: Rollout, stable: Rate, candidate: Rate) -> None:
    sides = (("stable", stable), ("candidate", candidate))
    tallies = (Tally(rollout.id, rollout.step_id, v, True, Side(r.n, {"errors": r})) for v, r in sides)
    RolloutTallies(kept.database).write("w", Counted(tuple(tallies)))


def never(rollout: Rollout) -> str | None:
    return None


def test_a_candidate_whose_gate_is_shut_never_serves_everybody_by_itself(tmp_path: Path) -> None:
    """Good numbers lead to a pause that says why; a person may still go on."""
    rollout = canary(tmp_path, Rate(3000, 3), Rate(3000, 3))
    (done,), _ = one_tick("a controller", barred=lambda one: f"version {one.candidate} is worse")
    assert done.record is not None
    assert (done.record.after, done.record.weight_percent) == (State.PAUSED, rollout.weight_percent)
    assert f"version {rollout.candidate} is worse" in done.record.reason
    assert "cannot be asked" in str(why_barred(rollout))  # there is no use case `desk`


def test_nothing_is_made_where_there_is_no_rollout(tmp_path: Path) -> None:
    assert one_tick("a controller") == ([], {})
    assert list(tmp_path.iterdir()) == []


def test_a_controller_killed_in_the_middle_is_repeated_without_harm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rollout = canary(tmp_path, Rate(300, 3), Rate(300, 120))
    follow = rollout_tick.follow

    def dying(*given: object, **named: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(rollout_tick, "follow", dying)
    with pytest.raises(KeyboardInterrupt):
        one_tick("the first")
    with Rollouts(tmp_path / "rollouts.db") as kept:
        assert kept.latest("desk/local") == rollout
    monkeypatch.setattr(rollout_tick, "follow", follow)
    (done,), _ = one_tick("the second")
    assert done.record is not None
    assert done.record.after == State.ROLLED_BACK
    assert one_tick("the third") == ([], {})


def test_a_promoted_candidate_is_led_again_until_it_leads(tmp_path: Path) -> None:
    rollout = canary(tmp_path, Rate(3000, 3), Rate(3000, 3))
    asked: list[str] = []

    def lead(one: Rollout) -> str | None:
        asked.append(one.candidate)
        return "is champion" if len(asked) > 1 else None

    one_tick("a controller", lead, never)
    with Rollouts(tmp_path / "rollouts.db") as kept:
        count(kept, kept.latest("desk/local"), Rate(), Rate(100, 0))
    assert one_tick("a controller", lead, never)[1] == {}
    assert one_tick("a controller", lead, never) == ([], {"desk/local": "is champion"})
    assert asked == [rollout.candidate] * 2


def test_there_is_something_to_judge_while_a_rollout_lives_and_not_for_ever_after(tmp_path: Path) -> None:
    """A promoted rollout whose version can never lead is not asked about every few seconds for ever."""
    assert what_waits() == (False, False)
    canary(tmp_path, Rate(3000, 3), Rate(3000, 3))
    assert what_waits() == (True, False)
    one_tick("a controller", lambda rollout: None, never)
    with Rollouts(tmp_path / "rollouts.db") as kept:
        count(kept, kept.latest("desk/local"), Rate(), Rate(100, 0))
    one_tick("a controller", lambda rollout: None, never)
    with Rollouts(tmp_path / "rollouts.db") as kept:
        assert kept.latest("desk/local").state is State.PROMOTED
    assert what_waits() == (False, False)  # there is no use case `desk`


def test_what_keeps_a_promoted_candidate_from_leading_is_told_and_stops_nothing(tmp_path: Path) -> None:
    rollout = canary(tmp_path, Rate(300, 3), Rate(300, 3))
    assert "is not champion yet" in str(make_champion(rollout))  # there is no use case `desk`


def test_the_picture_shows_both_sides_even_of_nothing(tmp_path: Path) -> None:
    from flows.rollout import picture

    canary(tmp_path, Rate(300, 3), Rate(300, 120))
    found: list[dict[str, object]] = []
    found.extend(tick.shown() for tick in one_tick("a controller")[0])
    for shown in (found[0], found[0] | {"sides": {"stable": {"keys": 0}, "candidate": {"keys": 0}}}):
        assert base64.b64decode(picture(shown).partition(",")[2]).startswith(b"\x89PNG")
