"""The life of a rollout: its moves, their records, and many controllers on one store."""

import os
import random
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from sqlalchemy import create_engine, text

from registry.rollout import ENDED, Move, Record, Rollout, State, check_start, move, started
from registry.rollout_errors import RolloutNotFound, RolloutRaced, RolloutRefused, RolloutsUnavailable
from registry.rollout_moves import ask, follow
from registry.rollout_rule import Finding, Outcome, Verdict
from registry.rollout_store import Rollouts, RolloutSettings
from registry.rollout_tallies import RolloutTallies
from registry.switches import Switches

POSTGRES_URL = os.environ.get("SWITCHYARD_TEST_POSTGRES_URL", "postgresql://postgres@127.0.0.1:5432/postgres")
CONTRACTS = {"7": "c1", "8": "c1", "9": "c2"}
STEPS = (5.0, 25.0, 50.0, 100.0)


def made(**changes: Any) -> Rollout:
    given = {
        "id": uuid4().hex,
        "component": "desk/local",
        "stable": "7",
        "candidate": "8",
        "step_since_s": 100.0,
    }
    return Rollout(**(given | changes))


def moved(rollout: Rollout, asked: Move, at_s: float = 200.0) -> Rollout:
    after = move(rollout, asked, by="somebody", reason="because", at_s=at_s)
    return rollout if after is None else after[0]


@contextmanager
def opened(kind: str, folder: Path) -> Iterator[Rollouts]:
    """A store of the test's own: a file, or a schema in the real PostgreSQL."""
    if kind == "sqlite":
        with Rollouts(folder / "rollouts.db") as kept:
            yield kept
        return
    name, _, port = POSTGRES_URL.split("@")[-1].split("/")[0].partition(":")
    try:
        socket.create_connection((name, int(port or 5432)), timeout=1).close()
    except OSError:
        if os.environ.get("CI") == "true":
            pytest.fail("CI needs a PostgreSQL; SWITCHYARD_TEST_POSTGRES_URL says where")
        pytest.skip("no PostgreSQL")
    schema = f"t{uuid4().hex}"
    admin = create_engine(POSTGRES_URL.replace("postgresql://", "postgresql+psycopg://"))
    with admin.begin() as connection:
        connection.execute(text(f"CREATE SCHEMA {schema}"))
    try:
        with Rollouts(f"{POSTGRES_URL}?options=-csearch_path%3D{schema}") as kept:
            yield kept
    finally:
        with admin.begin() as connection:
            connection.execute(text(f"DROP SCHEMA {schema} CASCADE"))
        admin.dispose()


@pytest.fixture(params=["sqlite", "postgres"])
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Rollouts]:
    with opened(request.param, tmp_path) as store:
        yield store


def begin(kept: Rollouts, **changes: Any) -> Rollout:
    rollout = made(**changes)
    kept.start(rollout, started(rollout, by="somebody", reason="a better model"))
    return rollout


def verdict(outcome: Outcome) -> Verdict:
    return Verdict(outcome, "the numbers say so", (Finding("errors", 950, 50, 0.5, 0.01),), 0.9)


def test_a_rollout_goes_from_shadow_through_its_weights_to_everybody() -> None:
    rollout = made()
    seen = [(rollout.state, rollout.weight_percent)]
    while not rollout.ended:
        rollout = moved(rollout, Move.ADVANCE)
        seen.append((rollout.state, rollout.weight_percent))
    assert seen == [
        (State.SHADOW, 0), (State.CANARY, 5), (State.CANARY, 25), (State.CANARY, 50), (State.CANARY, 100),
        (State.PROMOTED, 100),
    ]  # fmt: skip


@pytest.mark.parametrize("end", [Move.ABORT, Move.ROLL_BACK])
def test_an_end_takes_all_traffic_away_and_a_pause_leaves_it_where_it_is(end: Move) -> None:
    rollout = moved(moved(made(), Move.ADVANCE), Move.ADVANCE)
    paused = moved(rollout, Move.PAUSE)
    assert (paused.state, paused.weight_percent) == (State.PAUSED, 25)
    assert moved(paused, Move.RESUME).weight_percent == 25
    for before in (rollout, paused, made()):
        assert moved(before, end).weight_percent == 0
        assert not moved(before, end).shadowing


def test_what_was_promoted_may_be_taken_back_at_once_and_by_an_abort_alone() -> None:
    promoted = moved(moved(made(), Move.ADVANCE), Move.PROMOTE)
    assert moved(promoted, Move.ABORT).weight_percent == 0
    for other in (Move.ADVANCE, Move.PAUSE, Move.RESUME, Move.ROLL_BACK):
        with pytest.raises(RolloutRefused, match="has ended"):
            moved(promoted, other)


def test_a_record_says_who_moved_what_why_and_on_which_numbers() -> None:
    after = move(made(), Move.ADVANCE, by="controller", reason="not worse", at_s=200.0, numbers={"n": 5})
    assert after is not None
    assert after[1] == Record(
        revision=1, at_s=200.0, move="advance", before="shadow", after="canary", weight_percent=5.0,
        by="controller", reason="not worse", numbers={"n": 5},
    )  # fmt: skip


@given(moves=st.lists(st.tuples(st.sampled_from(Move), st.floats(0, 1e9)), max_size=12))
def test_no_order_of_moves_breaks_what_a_rollout_promises(moves: list[tuple[Move, float]]) -> None:
    rollout = made()
    for asked, at_s in moves:
        before = rollout
        try:
            rollout = moved(before, asked, at_s)
        except RolloutRefused:
            continue
        taken_back = (before.state, rollout.state) == (State.PROMOTED, State.ABORTED)
        assert not before.ended or rollout == before or taken_back
        assert rollout.step_since_s >= before.step_since_s  # whatever the clocks say
        assert rollout.revision == before.revision + (rollout != before)
        if not rollout.ended:
            assert rollout.weight_percent >= before.weight_percent
            assert rollout.step - before.step in (0, 1)
        if asked is not Move.ADVANCE:
            assert moved(rollout, asked, at_s) == rollout


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"candidate": "7"}, "nothing to roll out"),
        ({"candidate": "88"}, "candidate: no such version of desk/local; known are 7, 8, 9"),
        ({"stable": "1"}, "stable: no such version"),
        ({"candidate": "9"}, "output contract"),
        ({"steps": (25.0, 5.0, 100.0)}, "ascend"),
        ({"steps": (5.0, 5.0, 100.0)}, "ascend"),
        ({"steps": ()}, "above 0"),
        ({"steps": (0.0, 100.0)}, "above 0"),
        ({"steps": (5.0, 101.0)}, "above 0"),
        ({"steps": (float("nan"), 100.0)}, "above 0"),
        ({"steps": (5.0, 50.0)}, "100 as the last"),
    ],
)
def test_a_rollout_that_makes_no_sense_does_not_start(changes: dict[str, Any], said: str) -> None:
    given = {
        "stable": "7",
        "candidate": "8",
        "steps": STEPS,
        "contracts": CONTRACTS,
        "component": "desk/local",
    }
    with pytest.raises(RolloutRefused, match=said):
        check_start(**(given | changes))


def test_a_sound_rollout_may_start() -> None:
    check_start("7", "8", STEPS, CONTRACTS, "desk/local")


def test_a_candidate_that_answered_nobody_is_not_promoted() -> None:
    with pytest.raises(RolloutRefused, match="answered nobody yet"):
        moved(made(), Move.PROMOTE)


def test_what_is_kept_comes_back(kept: Rollouts) -> None:
    rollout = begin(kept)
    assert kept.latest("desk/local") == rollout
    assert kept.live() == [rollout]
    record = follow(kept, rollout, verdict(Outcome.ADVANCE), by="controller", at_s=300.0)
    assert record is not None
    assert record.numbers["findings"][0]["n_candidate"] == 50
    assert [r.move for r in kept.records(rollout.id)] == ["start", "advance"]
    assert kept.records(rollout.id)[1] == record
    assert kept.latest("desk/local").weight_percent == 5


def test_a_component_has_one_rollout_at_a_time(kept: Rollouts) -> None:
    first = begin(kept)
    begin(kept, component="desk/cloud")
    with pytest.raises(RolloutRefused, match="has one already"):
        begin(kept, candidate="9")
    ask(kept, "desk/local", Move.ABORT, by="somebody", reason="enough", at_s=300.0)
    second = begin(kept, candidate="9")
    assert kept.latest("desk/local") == second
    assert {r.component for r in kept.live()} == {"desk/local", "desk/cloud"}
    assert kept.records(first.id)[-1].after == "aborted"


def test_of_two_who_start_at_once_one_is_refused(kept: Rollouts) -> None:
    def attempt(_: int) -> bool:
        try:
            begin(kept)
        except RolloutRefused:
            return False
        return True

    kept.live()
    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(attempt, range(8))) == 1


def test_of_many_controllers_with_one_verdict_one_moves(kept: Rollouts) -> None:
    rollout = begin(kept)
    with ThreadPoolExecutor(8) as pool:
        records = list(
            pool.map(
                lambda n: follow(kept, rollout, verdict(Outcome.ADVANCE), by=f"controller {n}", at_s=300.0),
                range(8),
            )
        )
    assert sum(record is not None for record in records) == 1
    assert kept.latest("desk/local").step == 0
    assert len(kept.records(rollout.id)) == 2


def test_a_move_on_an_old_revision_changes_nothing(kept: Rollouts) -> None:
    rollout = begin(kept)
    after = move(rollout, Move.ADVANCE, by="one", reason="r", at_s=300.0)
    other = move(rollout, Move.ABORT, by="other", reason="r", at_s=300.0)
    assert after is not None
    assert other is not None
    kept.save(rollout, *after)
    with pytest.raises(RolloutRaced):
        kept.save(rollout, *other)
    assert kept.latest("desk/local") == after[0]
    assert len(kept.records(rollout.id)) == 2


def test_an_abort_is_heard_while_controllers_advance(kept: Rollouts) -> None:
    rollout = begin(kept)
    stale = kept.latest
    raced = iter([rollout])
    ask(kept, "desk/local", Move.ADVANCE, by="somebody", reason="go", at_s=300.0)
    kept.latest = lambda component: next(raced, None) or stale(component)  # type: ignore[method-assign]  # read before
    assert (
        ask(kept, "desk/local", Move.ABORT, by="somebody", reason="stop", at_s=301.0).state is State.ABORTED
    )
    again = ask(kept, "desk/local", Move.ABORT, by="somebody", reason="stop", at_s=302.0)
    assert (again.state, again.revision) == (State.ABORTED, 2)


def test_what_is_paused_waits_for_a_person_but_is_still_rolled_back(kept: Rollouts) -> None:
    begin(kept)
    for wish in (Move.ADVANCE, Move.PAUSE):
        rollout = ask(kept, "desk/local", wish, by="somebody", reason="wait", at_s=300.0)
    for outcome in (Outcome.ADVANCE, Outcome.PAUSE, Outcome.HOLD):
        assert follow(kept, rollout, verdict(outcome), by="controller", at_s=301.0) is None
    record = follow(kept, rollout, verdict(Outcome.ROLL_BACK), by="controller", at_s=302.0)
    assert record is not None
    assert record.after == "rolled_back"
    with pytest.raises(RolloutRefused, match="has ended"):
        ask(kept, "desk/local", Move.RESUME, by="somebody", reason="go", at_s=303.0)


def test_a_component_without_a_rollout_says_how_to_start_one(kept: Rollouts) -> None:
    with pytest.raises(RolloutNotFound, match="rollout start"):
        kept.latest("desk/local")


class Killed(Exception):
    """The process ends here."""


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 2**32), controllers=st.integers(1, 4))
def test_no_interleaving_of_controllers_and_kills_breaks_a_rollout(
    tmp_path_factory: pytest.TempPathFactory, seed: int, controllers: int
) -> None:
    """Each controller reads, may be overtaken, decides and moves; it dies before or inside its write."""
    chance = random.Random(seed)
    with Rollouts(tmp_path_factory.mktemp("r") / "rollouts.db") as kept:
        rollout = begin(kept)
        read: list[Rollout | None] = [None] * controllers
        note = Rollouts._note

        def dying(self: Rollouts, *given: Any) -> None:
            note(self, *given)
            raise Killed  # the row and its record are written, and not committed

        for turn in range(40):
            who = chance.randrange(controllers)
            if (seen := read[who]) is None:
                read[who] = kept.latest("desk/local")
                continue
            read[who] = None
            if (fate := chance.random()) < 0.2:
                continue
            before = kept.latest("desk/local")
            kept._note = dying.__get__(kept) if fate < 0.4 else note.__get__(kept)  # type: ignore[method-assign]  # the kill
            outcome = chance.choices(list(Outcome), (8, 2, 1, 1, 1))[0]
            try:
                follow(kept, seen, verdict(outcome), by=f"c{who}", at_s=chance.uniform(0, 1000))
            except Killed:
                assert kept.latest("desk/local") == before
            kept._note = note.__get__(kept)  # type: ignore[method-assign]  # as it was
            if turn % 5 == 4 and kept.latest("desk/local").state is State.PAUSED:
                ask(kept, "desk/local", Move.RESUME, by="p", reason="go", at_s=1.0)
        records, last = kept.records(rollout.id), kept.latest("desk/local")
    assert [r.revision for r in records] == list(range(last.revision + 1))
    assert all(a.after == b.before for a, b in pairwise(records))
    weights = [r.weight_percent for r in records if r.after not in ENDED]
    assert weights == sorted(weights)
    assert sum(r.after in ENDED for r in records) == last.ended
    assert [r.weight_percent for r in records if r.move == "advance"] == [*STEPS, 100.0][
        : sum(r.move == "advance" for r in records)
    ]


def test_a_controller_killed_in_the_middle_of_a_move_leaves_the_rollout_before_it(tmp_path: Path) -> None:
    code = """
import os, signal, sys
from pathlib import Path
from registry.rollout import Move, move
from registry.rollout_tallies import RolloutTallies
from registry.switches import Switches
from registry.rollout_store import Rollouts
note = Rollouts._note
def dying(self, *given):
    note(self, *given)
    os.kill(os.getpid(), signal.SIGKILL)
Rollouts._note = dying
kept = Rollouts(Path(sys.argv[1]))
rollout = kept.latest("desk/local")
kept.save(rollout, *move(rollout, Move.ADVANCE, by="c", reason="r", at_s=500.0))
"""
    with Rollouts(tmp_path / "rollouts.db") as kept:
        rollout = begin(kept)
        done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "rollouts.db")])
        assert done.returncode == -signal.SIGKILL
        assert kept.latest("desk/local") == rollout
        assert len(kept.records(rollout.id)) == 1
        assert follow(kept, rollout, verdict(Outcome.ADVANCE), by="another", at_s=600.0) is not None


def test_a_store_that_is_gone_says_so_and_echoes_nothing() -> None:
    with pytest.raises(RolloutsUnavailable, match="PostgreSQL") as caught:
        Rollouts("postgresql://me:planted-secret@127.0.0.1:9/none").live()
    assert "planted-secret" not in str(caught.value)


def test_a_store_of_another_release_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "rollouts.db"
    with Rollouts(file) as kept:
        begin(kept)
    engine = create_engine(f"sqlite:///{file}")
    with engine.begin() as connection:
        connection.execute(text("UPDATE rollouts_form SET form = 5"))
    engine.dispose()
    with pytest.raises(RolloutsUnavailable, match="expected form 4 or older, got 5"), Rollouts(file) as kept:
        kept.live()


def test_settings_name_the_store_and_hide_its_password(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SWITCHYARD_HOME", str(tmp_path))
    monkeypatch.delenv("SWITCHYARD_DATABASE_URL", raising=False)
    assert RolloutSettings().rollouts == tmp_path / "rollouts.db"
    monkeypatch.setenv("SWITCHYARD_DATABASE_URL", "postgresql://me:planted@db/x")
    assert RolloutSettings().rollouts == "postgresql://me:planted@db/x"
    assert "planted" not in repr(RolloutSettings())
    monkeypatch.setenv("SWITCHYARD_DATABASE_URL", "mysql://me:planted@db/x")
    with pytest.raises(ValidationError, match="expected postgresql") as caught:
        RolloutSettings()
    assert "planted" not in str(caught.value)


def test_a_store_of_the_form_before_is_migrated_with_all_that_is_in_it(tmp_path: Path) -> None:
    file = tmp_path / "rollouts.db"
    with Rollouts(file) as kept:
        rollout = begin(kept)
    engine = create_engine(f"sqlite:///{file}")
    with engine.begin() as connection:
        connection.execute(text("UPDATE rollouts_form SET form = 1"))
        for table in (
            "rollout_counts",
            "rollout_keys",
            "rollout_budgets",
            "switches",
            "thresholds",
            "rollout_configs",
        ):
            connection.execute(text(f"DROP TABLE {table}"))
    engine.dispose()
    with Rollouts(file) as kept:
        assert kept.live() == [rollout]
        assert kept.served() == [rollout]
        assert not RolloutTallies(kept.database).frozen("desk", "2026-01-01")
        assert Switches(kept.database).killed() == frozenset()
