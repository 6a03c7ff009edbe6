"""Decisions reach the database exactly once, in SQLite and in a real PostgreSQL alike."""

import dataclasses
from pathlib import Path

import pytest
import pytest_asyncio

from services import journal_reader
from services.chain import GENESIS, to_line
from services.errors import StateUnavailable
from services.evidence.batches import START, next_batch
from services.evidence.shipper import Shipper
from services.evidence.shipping import Shipment
from services.journal_reader import journal_files, read_entries
from services.state.decisions import Decisions, Position, Raced
from tests.services.evidence.made import KINDS, NODE, Home, opened


@pytest_asyncio.fixture(params=KINDS)
async def home(request: pytest.FixtureRequest, tmp_path: Path):
    with opened(request.param, tmp_path) as database:
        made = Home(tmp_path, database, max_file_bytes=4000)
        yield made
        made.journal.close()


def stored(home: Home) -> set[str]:
    return {row.id for row in home.store.newest(10_000)}


async def test_every_decision_of_every_file_arrives_with_the_line_that_proves_it(home):
    ids = await home.append(25)
    home.ship()
    assert len(journal_files(home.journal_dir)) > 2
    assert stored(home) == set(ids)
    row = home.store.find(ids[3])
    assert any(row.line in file.read_text() for file in journal_files(home.journal_dir))
    assert home.verify(database=True).problems == ()


async def test_shipping_again_by_anyone_changes_nothing(home):
    ids = await home.append(10)
    home.ship()
    home.ship()
    assert home.shipment().round().shipped == 0
    assert len(home.store.newest(10_000)) == len(ids)


async def test_a_shipper_that_dies_between_any_two_batches_is_followed_without_loss(home):
    ids = await home.append(9)
    for _ in range(40):
        home.shipment(batch=2).round()  # a new one each time: it knows only what the database knows
    assert stored(home) == set(ids)


async def test_two_shippers_at_once_cannot_ship_a_record_twice(home):
    await home.append(5)
    first, second = home.shipment(), home.shipment()
    file = journal_files(home.journal_dir)[0]
    batch = next_batch(file, START, 100)
    assert home.store.ship(NODE, file.name, START, batch.after, batch.rows) == []
    with pytest.raises(Raced):
        home.store.ship(NODE, file.name, START, batch.after, batch.rows)
    for shipment in (first, second, first, second):
        shipment.round()
    assert len(home.store.newest(100)) == 5


async def test_a_torn_last_line_waits_and_what_follows_it_whole_is_shipped(home):
    await home.append(2)
    (file,) = journal_files(home.journal_dir)
    whole = file.read_bytes()
    file.write_bytes(whole[:-40])
    shipment = home.shipment()
    assert shipment.round().shipped == 1
    assert shipment.round().behind_bytes > 0
    file.write_bytes(whole)
    assert shipment.round().shipped == 1
    assert shipment.round().behind_bytes == 0


async def test_a_broken_record_is_named_and_neither_it_nor_what_follows_is_shipped(home):
    await home.append(3)
    (file,) = journal_files(home.journal_dir)
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join([*lines[:2], lines[2].replace(b"planted", b"plantef"), lines[3]]))
    done = home.shipment().round()
    assert done.shipped == 1
    (problem,) = done.problems
    assert problem.startswith(f"{file.name}: record 2 was changed")
    file.write_bytes(b"".join(lines))  # put back
    home.ship()
    assert len(home.store.newest(10)) == 3


async def test_an_id_recorded_twice_is_kept_once_and_told(home, caplog):
    (one,) = await home.append(1)
    (file,) = journal_files(home.journal_dir)
    entry = next(iter(read_entries(home.journal_dir)))
    content = {"id": one, "tenant": "evil", "use_case": "any"}
    line, _ = to_line("decision", 2, entry.record["ts"], entry.hash, content)
    with file.open("ab") as stream:
        stream.write(line)
    home.ship()
    assert home.store.find(one).tenant == "acme"
    assert "recorded a second time" in caplog.text


async def test_while_the_database_is_away_nothing_is_lost_and_then_all_of_it_comes(home, tmp_path):
    ids = await home.append(3)
    real = home.store.ship
    home.store.ship = lambda *_: (_ for _ in ()).throw(StateUnavailable("away"))
    shipment = home.shipment()
    with pytest.raises(StateUnavailable):
        shipment.round()
    home.store.ship = real
    shipment.forget()
    shipment.round()
    assert stored(home) == set(ids)


async def test_a_tenant_sees_only_its_own(home):
    await home.append(3)
    (other,) = await home.append(1, tenant="other")
    home.ship()
    assert [row.id for row in home.store.newest(10, "other")] == [other]
    assert {row.tenant for row in home.store.newest(10, "acme")} == {"acme"}


async def test_the_signed_log_is_kept_in_the_database_and_proves_a_lost_one(home):
    await home.append(2)
    home.checkpointer.sign()
    home.ship()
    for file in home.logs.glob("*.jws"):
        file.unlink()
    (problem,) = home.verify(database=True, copy=False).problems
    assert "was removed with its whole file: decisions database still holds it" in problem


async def test_a_decision_is_found_in_the_database_and_before_that_in_the_files(home, monkeypatch):
    finder = home.finder()
    (one,) = await home.append(1)
    assert finder.find(one).record["id"] == one
    home.ship()
    (two,) = await home.append(1)
    read: list[Path] = []
    links = journal_reader._links
    monkeypatch.setattr(journal_reader, "_links", lambda file, *rest: read.append(file) or links(file, *rest))
    assert finder.find(one).record["id"] == one
    assert len(read) == 1  # the file that the row names
    read.clear()
    assert finder.find("ab" * 16) is None  # an id of another time: only what is not shipped yet is read
    assert len(read) == len(journal_files(home.journal_dir))
    assert finder.find(two).record["id"] == two


async def test_without_the_database_a_decision_is_still_found(home):
    (one,) = await home.append(1)
    home.store.find = lambda _: (_ for _ in ()).throw(StateUnavailable("away"))
    assert home.finder().find(one).record["id"] == one


def test_a_position_is_what_the_database_gives_back(tmp_path):
    with opened("sqlite", tmp_path) as database:
        store = Decisions(database)
        after = Position(4, "a" * 64, 99, 0, "record 5 was changed")
        store.ship(NODE, "f.jsonl", START, after, ())
        assert store.positions(NODE) == {"f.jsonl": after}
        assert store.positions("f" * 16) == {}
        assert dataclasses.replace(after, problem=None) != after


def test_one_shipper_at_a_time_and_another_takes_over(tmp_path):
    rounds: list[str] = []

    class Counting(Shipment):
        def __init__(self, name):
            self.name = name

        def round(self):
            rounds.append(self.name)
            raise StateUnavailable("away")  # and a failing one keeps trying

        def forget(self):
            pass

    first, second = (Shipper(Counting(n), tmp_path / "lock", every_s=0.001) for n in ("a", "b"))
    assert first._leads()
    assert not second._leads()
    first.close()
    assert second._leads()
    second.start()
    while len(rounds) < 3:
        pass
    second.close()
    assert set(rounds) == {"b"}
    assert second.problems == ("shipping: away",)


async def test_nothing_of_a_file_that_nobody_here_began_is_shipped_and_the_others_go_on(home, caplog):
    """Unstamped, or stamped in another home: named in the log and for the metric, never in the database."""
    name = "20200101T000000.000000Z-1-abcdef01.jsonl"
    header, hash_ = to_line("header", 0, "2020-01-01T00:00:00+00:00", GENESIS, {"format": 1, "file": name})
    content = {"id": "e" * 32, "tenant": "acme", "use_case": "any"}
    record, _ = to_line("decision", 1, "2020-01-01T00:00:00+00:00", hash_, content)
    (home.journal_dir).mkdir(parents=True)
    (home.journal_dir / name).write_bytes(header + record)
    with opened("sqlite", home.folder / "other") as database:
        other = Home(home.folder / "other", database)
        (theirs,) = await other.append(1)
        other.journal.close()
        (foreign,) = journal_files(other.journal_dir)
        (home.journal_dir / foreign.name).write_bytes(foreign.read_bytes())
    (ours,) = await home.append(1)
    for _ in range(2):
        done = home.shipment().round()
        assert len(done.problems) == 2
        assert all("was not begun by a worker of this home" in problem for problem in done.problems)
    assert stored(home) == {ours}
    assert f"{name}: was not begun" in caplog.text
    for unknown in ("e" * 32, theirs):
        assert home.finder().find(unknown, thorough=True) is None


async def test_a_folder_named_like_a_file_is_named_and_stops_nothing(home, caplog):
    (home.journal_dir / "00000000.jsonl").mkdir(parents=True)
    (one,) = await home.append(1)
    done = home.shipment().round()
    assert (done.shipped, done.problems) == (1, ("00000000.jsonl: is no file",))
    assert "is no file; nothing of it is shipped" in caplog.text
    assert home.finder().find(one).record["id"] == one


async def test_a_header_that_is_half_written_is_waited_for(home):
    (one,) = await home.append(1)
    (file,) = journal_files(home.journal_dir)
    whole = file.read_bytes()
    file.write_bytes(whole[:50])
    shipment = home.shipment()
    assert shipment.round().problems == ()
    file.write_bytes(whole)
    shipment.round()
    assert stored(home) == {one}
