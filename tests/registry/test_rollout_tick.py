"""One tick of the controller: what it does by what workers counted, and that it may be repeated or killed."""

import secrets
import time
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from registry.rollout import Move, Rollout, State, move, started
from registry.rollout_evidence import Latencies, Rate, Side
from registry.rollout_guard import WRONG, Guard, RateMetric
from registry.rollout_moves import ask
from registry.rollout_store import Rollouts
from registry.rollout_tallies import Counted, RolloutTallies, Spent, Sticky, Tally
from registry.rollout_tick import tick
from registry.switches import Switches, Turn
from switchyard.cli import build

GUARD = Guard(
    metrics=(RateMetric(name="errors", margin=0.05),), min_samples=20, novelty_s=1, step_limit_s=100
)


@pytest.fixture
def kept(tmp_path: Path):
    with Rollouts(tmp_path / "rollouts.db") as opened:
        yield opened


def begin(kept: Rollouts, component: str = "desk/local", guard: Guard = GUARD) -> Rollout:
    """In canary at 50 %, begun at second 1000."""
    rollout = Rollout(
        id=secrets.token_hex(16), component=component, stable="1", candidate="2", steps=(50.0, 100.0),
        guard=guard, step_since_s=1000.0,
    )  # fmt: skip
    kept.start(rollout, started(rollout, by="a test", reason="to see"))
    after, record = move(rollout, Move.ADVANCE, by="a test", reason="to see", at_s=1000.0)
    kept.save(rollout, after, record)
    return after


def count(
    kept: Rollouts, rollout: Rollout, stable: Rate, candidate: Rate, worker: str = "w1", **more
) -> None:
    tallies = tuple(
        Tally(
            rollout.id,
            rollout.step_id,
            variant,
            True,
            Side(rate.n, {"errors": rate, "latency": Latencies.of([2])}),
        )
        for variant, rate in (("stable", stable), ("candidate", candidate))
    )
    RolloutTallies(kept.database).write(worker, Counted(tallies, **more))


def test_a_worse_candidate_is_rolled_back_and_the_record_has_the_numbers(kept: Rollouts) -> None:
    rollout = begin(kept)
    count(kept, rollout, Rate(300, 3), Rate(300, 120))
    (done,) = tick(kept, by="a controller", at_s=1010.0)
    assert done.record is not None
    assert kept.latest("desk/local").state is State.ROLLED_BACK
    record = kept.records(rollout.id)[-1]
    assert record.by == "a controller"
    assert record.numbers["findings"][0]["n_candidate"] == 300
    assert tick(kept, by="another", at_s=1011.0) == []


def test_an_equal_candidate_goes_on_to_the_end_and_each_step_counts_anew(kept: Rollouts) -> None:
    rollout = begin(kept)
    count(kept, rollout, Rate(3000, 3), Rate(3000, 3))
    tick(kept, by="a controller", at_s=1010.0)
    at_100 = kept.latest("desk/local")
    assert at_100.weight_percent == 100
    tick(kept, by="a controller", at_s=1020.0)
    assert kept.latest("desk/local") == at_100  # nothing was counted in this step yet
    count(kept, at_100, Rate(), Rate(100, 0))
    tick(kept, by="a controller", at_s=1030.0)
    assert kept.latest("desk/local").state is State.PROMOTED


def test_workers_add_up_and_writing_twice_counts_once(kept: Rollouts) -> None:
    rollout = begin(kept)
    sticky = [Sticky(rollout.id, rollout.step_id, "stable", who) for who in ("a", "b")]
    for worker in ("w1", "w2", "w2"):
        count(kept, rollout, Rate(10, 1), Rate(10, 2), worker, sticky=tuple(sticky))
    whole, settled = RolloutTallies(kept.database).period(rollout)
    assert whole.stable.metrics["errors"] == settled.stable.metrics["errors"] == Rate(20, 2)
    assert whole.candidate.metrics["errors"] == Rate(20, 4)
    assert whole.stable.metrics["latency"].n == 2
    assert whole.stable.keys == 22


def test_a_split_that_is_off_stops_the_rollout(kept: Rollouts) -> None:
    rollout = begin(kept)
    count(kept, rollout, Rate(1000, 1), Rate(500, 1))
    tick(kept, by="a controller", at_s=1010.0)
    assert kept.latest("desk/local").state is State.ABORTED
    assert "split" in kept.records(rollout.id)[-1].reason


def test_an_exhausted_error_budget_freezes_new_steps_of_its_use_case_alone(kept: Rollouts) -> None:
    used = {
        "desk": Spent("desk", "1970-01-01", 1000, 60, 0.05),
        "till": Spent("till", "1970-01-01", 1000, 40, 0.05),
    }
    for name, spent in used.items():
        rollout = begin(kept, f"{name}/local")
        count(kept, rollout, Rate(3000, 3), Rate(3000, 3), spent=(spent,))
    desk, till = tick(kept, by="a controller", at_s=1010.0)
    assert (desk.frozen, desk.record) == (True, None)
    assert till.record is not None
    count(
        kept,
        kept.latest("desk/local"),
        Rate(),
        Rate(),
        "w2",
        spent=(replace(used["desk"], requests=9000, bad=0),),
    )
    assert tick(kept, by="a controller", at_s=1011.0)[0].record is not None


@pytest.mark.parametrize("minutes", [-90, 0])
def test_an_undecided_step_holds_and_is_paused_at_its_limit_whatever_the_clock(
    kept: Rollouts, minutes: int
) -> None:
    """A controller whose clock is behind waits; none moves a step on without numbers."""
    rollout = begin(kept)
    count(kept, rollout, Rate(30, 1), Rate(30, 1))
    (done,) = tick(kept, by="a controller", at_s=1050.0 + 60 * minutes)
    assert done.record is None
    tick(kept, by="a controller", at_s=2000.0)
    assert kept.latest("desk/local").state is State.PAUSED


def test_the_command_ticks_and_says_what_it_saw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWITCHYARD_HOME", str(tmp_path))
    monkeypatch.delenv("SWITCHYARD_DATABASE_URL", raising=False)
    run = CliRunner()
    assert "no rollout" in run.invoke(build(), ["rollout", "tick"]).output
    with Rollouts(tmp_path / "rollouts.db") as kept:
        rollout = begin(kept, guard=GUARD.model_copy(update={"step_limit_s": 1e12}))
        count(kept, rollout, Rate(300, 3), Rate(300, 120))
    assert "roll_back: worse than stable" in run.invoke(build(), ["rollout", "tick"]).output


def test_switches_are_turned_listed_and_kept_by_commands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SWITCHYARD_HOME", str(tmp_path))
    monkeypatch.delenv("SWITCHYARD_DATABASE_URL", raising=False)
    run = CliRunner()
    assert "no switch" in run.invoke(build(), ["flags", "list"]).output
    for name in ("target:desk/cloud/primary", "rollout:desk/local", "target:*/cloud"):
        assert run.invoke(build(), ["flags", "kill", name, "--reason", "it leaks"]).exit_code == 0
    run.invoke(build(), ["flags", "restore", "rollout:desk/local"])
    listed = run.invoke(build(), ["flags", "list"]).output
    assert "it leaks" in listed
    assert "restored by hand" in listed
    with Rollouts(tmp_path / "rollouts.db") as kept:
        assert Switches(kept.database).killed() == {"target:desk/cloud/primary", "target:*/cloud"}


@pytest.mark.parametrize(
    "name", ["desk/local", "target:desk", "target:desk/safe_default", "rollout:*/local", "x:y/z"]
)
def test_what_no_switch_can_name_is_refused_and_the_last_rung_cannot_be_taken_away(
    kept: Rollouts, name: str
) -> None:
    from registry.rollout_errors import RolloutRefused

    with pytest.raises(RolloutRefused, match="expected target:"):
        Switches(kept.database).turn(Turn(name=name, killed=True, at_s=time.time(), by="me", reason="why"))


REVIEWED = Guard(
    metrics=(RateMetric(name="errors", margin=0.05), WRONG), min_samples=20, novelty_s=1, step_limit_s=100
)


def review(kept: Rollouts, rollout: Rollout, step: str, stable: Rate, candidate: Rate) -> None:
    tallies = tuple(
        Tally(rollout.id, step, variant, True, Side(0, {"wrong": rate}))
        for variant, rate in (("stable", stable), ("candidate", candidate))
    )
    RolloutTallies(kept.database).write("a desk", Counted(tallies))


def test_nobody_gets_more_than_half_without_evidence_that_the_candidate_is_right(kept: Rollouts) -> None:
    """However sound it is in all that workers see by themselves; at the time limit it says so and waits."""
    rollout = begin(kept, guard=REVIEWED)
    count(kept, rollout, Rate(3000, 3), Rate(3000, 3))
    (ticked,) = tick(kept, by="c", at_s=1050.0)
    assert ticked.record is None
    assert "without evidence of 'wrong': seen 0 of stable, 0 of the candidate" in ticked.verdict.reason
    (ticked,) = tick(kept, by="c", at_s=1200.0)
    assert ticked.record is not None
    assert (ticked.record.after, "feedback" in ticked.record.reason) == (State.PAUSED, True)


def test_what_reviews_say_of_earlier_steps_counts_together_and_late(kept: Rollouts) -> None:
    """Each step's reviews alone are too few: together they are enough."""
    rollout = begin(kept, guard=REVIEWED)
    few = (Rate(120, 2), Rate(120, 2))
    for earlier in ("0@900.0", "1@950.0", "1@960.0"):
        review(kept, rollout, earlier, *few)
    review(kept, rollout, "-1@800.0", Rate(900, 0), Rate(900, 900))  # shadow answered nobody
    count(kept, rollout, Rate(3000, 3), Rate(3000, 3))
    (ticked,) = tick(kept, by="c", at_s=1050.0)
    assert ticked.record is not None, ticked.verdict
    assert ticked.record.after == State.CANARY
    assert ticked.record.weight_percent == 100


def test_reviews_of_earlier_steps_speak_against_a_candidate_too(kept: Rollouts) -> None:
    rollout = begin(kept, guard=REVIEWED)
    review(kept, rollout, "0@900.0", Rate(100, 2), Rate(100, 22))
    review(kept, rollout, "0@950.0", Rate(100, 2), Rate(100, 22))
    (ticked,) = tick(kept, by="c", at_s=1050.0)
    assert ticked.record is not None
    assert (ticked.record.after, "wrong" in ticked.record.reason) == (State.ROLLED_BACK, True)


def test_in_mode_shadow_a_candidate_that_passes_waits_for_a_person(kept: Rollouts) -> None:
    rollout = Rollout(
        id=secrets.token_hex(16), component="desk/local", stable="1", candidate="2", steps=(50.0, 100.0),
        guard=GUARD, step_since_s=1000.0, mode="shadow",
    )  # fmt: skip
    kept.start(rollout, started(rollout, by="a test", reason="to see"))
    count(kept, rollout, Rate(3000, 3), Rate(3000, 3))
    (ticked,) = tick(kept, by="c", at_s=1050.0)
    assert ticked.record is not None
    assert (ticked.record.after, ticked.record.weight_percent) == (State.PAUSED, 0)
    assert "a person takes the first step" in ticked.record.reason
    assert tick(kept, by="c", at_s=1060.0)[0].record is None
    after = ask(kept, "desk/local", Move.ADVANCE, by="a person", reason="looks good", at_s=1070.0)
    assert (after.state, after.weight_percent) == (State.CANARY, 50)


def test_in_shadow_nobody_can_say_whether_a_candidate_is_right_so_no_step_waits_for_it(
    kept: Rollouts,
) -> None:
    always = REVIEWED.metrics[1].model_copy(update={"required_beyond_percent": 0})
    guard = REVIEWED.model_copy(update={"metrics": (REVIEWED.metrics[0], always)})
    rollout = Rollout(
        id=secrets.token_hex(16), component="desk/local", stable="1", candidate="2", steps=(50.0, 100.0),
        guard=guard, step_since_s=1000.0,
    )  # fmt: skip
    kept.start(rollout, started(rollout, by="a test", reason="to see"))
    count(kept, rollout, Rate(3000, 3), Rate(3000, 3))
    (ticked,) = tick(kept, by="c", at_s=1050.0)
    assert ticked.record is not None
    assert ticked.record.weight_percent == 50
