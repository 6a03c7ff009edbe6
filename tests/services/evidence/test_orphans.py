"""The end of journal files whose worker was killed is signed by whoever lives on."""

from pathlib import Path

import pytest

from services.evidence.entries import CHECKPOINT
from services.evidence.log_check import check_log, read_place
from services.evidence.orphans import Orphans
from services.journal_reader import journal_files
from services.receipt_keys import public_jwks
from tests.services.evidence.made import Home, opened


@pytest.fixture
def home(tmp_path: Path):
    with opened("sqlite", tmp_path) as database:
        yield Home(tmp_path, database)


def survivor(home: Home) -> Orphans:
    """What another worker of the same home looks with."""
    return Orphans(home.journal_dir, home.logs, lambda: public_jwks(home.keys))


def end_all(home: Home, orphans: Orphans) -> None:
    def sign(file: str, seq: int, hash_: str) -> None:
        body = {"file": file, "seq": seq, "hash": hash_, "closed": True, "files": 0}
        home.log.append(CHECKPOINT, body)

    orphans.end_all(sign)


def ends(home: Home) -> list[tuple[str, int]]:
    entries = check_log(read_place(home.logs), {}, public_jwks(home.keys)).entries
    return [(entry.body["file"], entry.body["seq"]) for entry in entries if entry.body["closed"]]


async def killed(home: Home, records: int = 5) -> Path:
    """A worker's file as `kill -9` leaves it: its lock is free, and nobody signed its end."""
    await home.append(records)
    home.journal.close()
    (file,) = journal_files(home.journal_dir)
    return file


async def test_a_tail_that_is_cut_off_after_a_kill_is_found_once_a_survivor_looked(home) -> None:
    file = await killed(home)
    end_all(home, survivor(home))
    assert ends(home) == [(file.name, 5)]
    assert home.verify(copy=False).problems == ()
    file.write_bytes(b"".join(file.read_bytes().splitlines(keepends=True)[:-1]))
    (problem,) = home.verify(copy=False).problems
    assert f"{file.name}: record 5" in problem


async def test_a_live_workers_file_is_left_alone_and_each_end_is_signed_once(home) -> None:
    await home.append(2)
    orphans = survivor(home)
    end_all(home, orphans)
    assert ends(home) == []
    home.journal.close()
    for again in (orphans, orphans, survivor(home)):
        end_all(home, again)
    assert len(ends(home)) == 1


async def test_a_worker_that_stopped_in_order_has_signed_its_end_already(home) -> None:
    await home.append(2)
    home.close()
    end_all(home, survivor(home))
    assert len(ends(home)) == 1


@pytest.mark.parametrize("change", ["flip", "cut behind a checkpoint", "forged header"])
async def test_no_end_is_signed_for_a_file_that_was_changed(home, change: str) -> None:
    await home.append(3)
    home.checkpointer.sign()
    file = await killed(home, 2)
    lines = file.read_bytes().splitlines(keepends=True)
    if change == "flip":
        lines[2] = lines[2].replace(b"0.9", b"0.8")
    elif change == "cut behind a checkpoint":
        lines = lines[:3]
    else:
        lines[0] = lines[0].replace(b'"why":"start"', b'"why":"strut"')
    file.write_bytes(b"".join(lines))
    end_all(home, survivor(home))
    assert ends(home) == []
    assert home.verify(copy=False).problems


async def test_half_a_record_of_a_dying_worker_is_cut_off_and_one_put_behind_the_end_is_found(home) -> None:
    file = await killed(home)
    whole = file.read_bytes()
    file.write_bytes(whole + whole.splitlines()[-1][:40])
    end_all(home, survivor(home))
    assert file.read_bytes() == whole
    assert home.verify(copy=False).problems == ()
    file.write_bytes(whole + b'{"content_sha256":"')
    (problem,) = home.verify(copy=False).problems
    assert "is half a line behind the end of a closed file" in problem


async def test_the_checkpointer_of_a_living_worker_does_it_by_itself(home, tmp_path) -> None:
    file = await killed(home)
    now = 0.0
    checkpointer = type(home.checkpointer)(
        home.journal, home.journal_dir, home.log, None, survivor(home),
        every_records=1000, every_s=60, clock=lambda: now,
    )  # fmt: skip
    checkpointer.look()
    before = ends(home)
    now = 61.0
    checkpointer.look()
    assert (file.name, 5) in ends(home)
    assert (file.name, 5) not in before
