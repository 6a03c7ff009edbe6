"""Retention takes contents out of files and database, keeps the chain whole, and proves that it did."""

import fcntl
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st

from services.chain import from_line, to_line
from services.errors import StateUnavailable
from services.evidence import retain as retain_module
from services.evidence import running
from services.evidence.retain import retain, summary
from services.evidence.retention import Rule, Rules
from services.journal_reader import find_decision, journal_files
from services.receipt_keys import ensure_receipt_key
from tests.services.evidence.made import KINDS, NODE, Home, opened

RULES = Rules({"any": Rule(365, {"personal": 30})})
NOW = datetime.now(UTC)
IN_40_DAYS, IN_400_DAYS = NOW + timedelta(days=40), NOW + timedelta(days=400)


@pytest_asyncio.fixture(params=KINDS)
async def home(request: pytest.FixtureRequest, tmp_path: Path):
    with opened(request.param, tmp_path) as database:
        made = Home(tmp_path, database)
        made.personal = await made.append(3, tags=("personal",))
        made.plain = await made.append(2)
        made.close()
        made.ship()
        yield made


def run(home: Home, now: datetime, **options) -> list:
    return list(
        retain(home.journal_dir, RULES, now, home.log, home.store, NODE, **{"suspect": (), **options})
    )


def everything(home: Home) -> bytes:
    return b"".join(file.read_bytes() for file in journal_files(home.journal_dir))


async def test_only_what_its_tag_no_longer_allows_is_taken_out_and_verification_holds(home):
    (outcome,) = run(home, IN_40_DAYS)
    assert (outcome.removed, outcome.left) == (3, None)
    report = home.verify(database=True)
    assert (report.problems, report.removed) == ((), 3)
    assert everything(home).count(b"planted words") == 2
    removed = find_decision(journal_files(home.journal_dir), home.personal[0]).record
    assert (removed["removed"]["tag"], removed["removed"]["days"], removed["tenant"]) == (
        "personal",
        30,
        "acme",
    )
    assert "request" not in removed
    assert "planted" not in home.store.find(home.personal[0]).line
    assert "planted" in home.store.find(home.plain[0]).line


async def test_it_can_be_repeated_and_goes_on_later(home):
    run(home, IN_40_DAYS)
    before = everything(home)
    assert [outcome.removed for outcome in run(home, IN_40_DAYS)] == [0]
    assert everything(home) == before
    assert [outcome.removed for outcome in run(home, IN_400_DAYS)] == [2]
    assert b"planted" not in everything(home)
    assert home.verify(database=True).problems == ()


async def test_a_dry_run_changes_nothing(home):
    before = everything(home)
    assert [outcome.removed for outcome in run(home, IN_40_DAYS, dry_run=True)] == [3]
    assert everything(home) == before
    assert [outcome.removed for outcome in run(home, NOW)] == [0]


@pytest.mark.parametrize("killed_at", ["append", "replace", "empty"])
async def test_killed_between_any_two_steps_it_is_finished_by_the_next_run(home, killed_at, monkeypatch):
    class Killed(BaseException):
        pass

    def kill(*_, **__):
        raise Killed

    with monkeypatch.context() as patch:
        if killed_at == "append":
            patch.setattr(home.log, "append", kill)
        elif killed_at == "replace":
            patch.setattr(Path, "replace", kill)
        else:
            patch.setattr(home.store, "empty", kill)
        with pytest.raises(Killed):
            run(home, IN_40_DAYS)
    assert home.verify(database=True).problems == ()
    run(home, IN_40_DAYS)
    assert everything(home).count(b"planted words") == 2
    assert "planted" not in home.store.find(home.personal[2]).line
    assert home.verify(database=True).problems == ()


async def test_with_the_database_away_files_are_done_and_the_rest_is_said_and_done_later(home, monkeypatch):
    def away(*_):
        raise StateUnavailable("away")

    with monkeypatch.context() as patch:
        patch.setattr(home.store, "applied_retentions", away)
        (outcome,) = run(home, IN_40_DAYS)
    assert "run this again" in outcome.left
    assert "planted" in home.store.find(home.personal[0]).line
    assert [o.left for o in run(home, IN_40_DAYS)] == [None]
    assert "planted" not in home.store.find(home.personal[0]).line


async def test_what_was_not_shipped_before_is_shipped_as_a_tombstone(tmp_path):
    with opened("sqlite", tmp_path) as database:
        home = Home(tmp_path, database)
        (one,) = await home.append(1, tags=("personal",))
        home.close()
        shipment = home.shipment()
        shipment._positions = {}  # it knew the file before retention came
        run(home, IN_40_DAYS)
        shipment.round()
        shipment.round()
        assert '"removed":' in home.store.find(one).line
        assert home.verify(database=True).problems == ()


async def test_a_file_that_a_live_worker_writes_is_left(home):
    await home.append(1, tags=("personal",))
    outcomes = {outcome.file: outcome for outcome in run(home, IN_40_DAYS)}
    live = home.journal.head.file
    assert "a live worker" in outcomes[live].left
    home.journal.close()
    assert sum(outcome.removed for outcome in run(home, IN_40_DAYS)) == 1


async def test_a_changed_file_is_left_as_the_evidence_that_it_is(home):
    (file,) = journal_files(home.journal_dir)
    changed = file.read_bytes().replace(b"planted", b"plantef", 1)
    file.write_bytes(changed)
    (outcome,) = run(home, IN_40_DAYS)
    assert "evidence of a change" in outcome.left
    assert file.read_bytes() == changed


async def test_a_tombstone_altered_or_added_by_hand_is_found(home):
    run(home, IN_40_DAYS)
    (file,) = journal_files(home.journal_dir)
    raw = file.read_bytes()
    file.write_bytes(
        raw.replace(b'"tenant":"acme","use_case":"any"}}', b'"tenant":"evil","use_case":"any"}}', 1)
    )
    if file.read_bytes() == raw:
        file.write_bytes(raw.replace(b'"tag":"personal"', b'"tag":"personol"', 1))
    assert any("was emptied otherwise than its signed" in problem for problem in home.verify().problems)


@pytest.mark.parametrize("at", ["2020-01-01T00:00:00", "yesterday", "0001-01-01T00:00:00+23:59"])
async def test_a_record_whose_time_nobody_can_tell_is_kept_and_named_and_the_others_still_go(home, at):
    (file,) = journal_files(home.journal_dir)
    lines = file.read_bytes().splitlines(keepends=True)
    prev, made = from_line(lines[1]).hash, lines[:2]
    for seq, line in enumerate(lines[2:], 2):
        record = dict(from_line(line).record)
        head = {name: record.pop(name) for name in ("kind", "seq", "ts", "prev", "content_sha256")}
        new, prev = to_line("decision", seq, at if seq == 2 else head["ts"], prev, record)
        made.append(new)
    file.write_bytes(b"".join(made))
    (outcome,) = run(home, IN_40_DAYS)
    assert (outcome.removed, outcome.skipped, outcome.left) == (2, (2,), None)
    assert file.read_bytes().splitlines(keepends=True)[2] == made[2]
    assert summary([outcome])["files"][0]["skipped"] == [2]


async def test_files_are_judged_under_the_lock(tmp_path, monkeypatch):
    """Another run may have ended in between: what it left is judged, not what was there before it."""
    monkeypatch.setenv("SWITCHYARD_HOME", str(tmp_path))
    held = []

    def verify(_):
        with (tmp_path / "retention.lock").open("ab") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                held.append(True)
        return SimpleNamespace(suspect=())

    monkeypatch.setattr(running, "verify_home", verify)
    ensure_receipt_key(tmp_path / "keys")
    assert running.retain_home(NOW, dry_run=True) == []
    assert held == [True]


async def test_without_a_place_to_sign_it_nothing_is_taken_out(home, monkeypatch):
    def full(*_):
        raise OSError(28, os.strerror(28))

    before = everything(home)
    monkeypatch.setattr(home.log, "append", full)
    with pytest.raises(OSError, match="No space"):
        run(home, IN_40_DAYS)
    assert everything(home) == before


async def test_a_clock_that_went_back_makes_nothing_expire_early(tmp_path):
    times = iter([NOW, NOW, NOW, *[NOW - timedelta(days=4000)] * 50])
    with opened("sqlite", tmp_path) as database:
        home = Home(tmp_path, database, now=lambda: next(times))
        await home.append(5, tags=("personal",))
        home.close()
        assert home.verify().problems == ()
        assert [outcome.removed for outcome in run(home, NOW)] == [0]
        assert [outcome.removed for outcome in run(home, IN_40_DAYS)] == [5]


@given(st.lists(st.integers(0, 60), unique=True).map(sorted))
def test_ranges_name_exactly_the_numbers_they_were_made_from(seqs):
    ranges = retain_module._ranges(seqs)
    assert [n for first, last in ranges for n in range(first, last + 1)] == seqs


@given(
    st.dictionaries(st.sampled_from("abcd"), st.integers(1, 900)), st.none() | st.integers(1, 900), st.data()
)
def test_the_shortest_time_of_all_tags_counts(by_tag, default, data):
    tags = frozenset(data.draw(st.lists(st.sampled_from("abcd"))))
    limits = [days for tag, days in by_tag.items() if tag in tags] + ([default] if default else [])
    found = Rule(default, by_tag).limit(tags)
    assert (found[0] if found else None) == min(limits, default=None)
