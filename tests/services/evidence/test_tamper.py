"""Whatever is done to journal or checkpoints is found by `audit verify`, and named."""

import hashlib
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import pytest_asyncio

from services.chain import GENESIS, from_line, to_line, to_tombstone
from services.evidence.entries import TYPE, entry_claims
from services.evidence.retain import retain
from services.evidence.retention import Rule, Rules
from services.evidence.signed_log import log_files
from services.journal_reader import journal_files
from services.receipt_keys import ensure_receipt_key
from services.signer import Signer
from tests.services.evidence.made import NODE, Home, opened


@pytest_asyncio.fixture
async def home(tmp_path: Path):
    """Two files, the second following the first; a checkpoint in the first, one at the end of each."""
    with opened("sqlite", tmp_path) as database:
        made = Home(tmp_path, database)
        for _ in range(2):
            await made.append(3)
            made.checkpointer.sign()
            await made.append(3)
            made.journal.close()
            made.checkpointer.sign(closed=True)
        made.close()
        assert made.verify().problems == ()
        assert made.verify().unprotected == {}
        yield made


HEAD = ("kind", "seq", "ts", "prev", "content_sha256")


def lines_of(file: Path) -> list[bytes]:
    return file.read_bytes().splitlines(keepends=True)


def rehashed(file: Path, lines: list[bytes], continues=None) -> None:
    """A whole file made anew with right hashes, as someone without the key can."""
    prev, out = GENESIS, []
    for seq, line in enumerate(lines):
        record = dict(from_line(line).record)
        kind, at = record["kind"], record["ts"]
        content = {
            k: v for k, v in record.items() if k not in ("kind", "seq", "ts", "prev", "content_sha256")
        }
        if kind == "header" and continues:
            content["continues"] = continues
        made, prev = to_line(kind, seq, at, prev, content)
        out.append(made)
    file.write_bytes(b"".join(out))


def flip(home, file, lines):
    lines[2] = lines[2].replace(b"planted", b"plantef")
    file.write_bytes(b"".join(lines))


def delete(home, file, lines):
    file.write_bytes(b"".join(lines[:2] + lines[3:]))


def swap(home, file, lines):
    lines[2], lines[3] = lines[3], lines[2]
    file.write_bytes(b"".join(lines))


def duplicate(home, file, lines):
    file.write_bytes(b"".join([*lines[:3], lines[2], *lines[3:]]))


def insert(home, file, lines):
    forged, _ = to_line(
        "decision", 2, from_line(lines[1]).record["ts"], from_line(lines[1]).hash, {"id": "x"}
    )
    file.write_bytes(b"".join([*lines[:2], forged, *lines[2:]]))


def truncate(home, file, lines):
    file.write_bytes(b"".join(lines[:-1]))


def truncate_to_the_header(home, file, lines):
    file.write_bytes(lines[0])


def delete_file(home, file, lines):
    file.unlink()


def rehash(home, file, lines):
    rehashed(file, [*lines[:2], *lines[3:]])


def tombstone(home, file, lines):
    lines[2] = to_tombstone(lines[2], {"event": "e" * 32, "tag": "personal"})
    file.write_bytes(b"".join(lines))


CHANGES = {
    flip: "record 2: was changed",
    delete: "record 2: was removed",
    swap: "record 2: was moved",
    duplicate: "record 3: was moved",
    insert: "record 3: was moved",
    truncate: "record 6: is missing",
    truncate_to_the_header: "is missing",
    delete_file: "is gone with its whole file",
    rehash: "was rewritten",
    tombstone: "record 2: was emptied, and no signed retention record names it",
}


@pytest.mark.parametrize("which", [0, -1], ids=["followed", "last"])
@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
async def test_each_change_of_a_journal_file_is_found_and_named(home, change, which):
    file = journal_files(home.journal_dir)[which]
    change(home, file, lines_of(file))
    problems = [problem for problem in home.verify().problems if problem.startswith(file.name)]
    assert problems
    assert CHANGES[change] in problems[0]


async def test_a_rehashed_file_is_found_though_the_header_that_follows_was_forged_to_fit(home):
    first, second = journal_files(home.journal_dir)
    rehashed(first, lines_of(first)[:-1])
    last = from_line(lines_of(first)[-1])
    rehashed(second, lines_of(second), {"file": first.name, "seq": last.record["seq"], "hash": last.hash})
    problems = " ".join(home.verify().problems)
    assert f"{first.name}: record" in problems
    assert f"{second.name}: record" in problems


async def test_a_whole_forged_file_is_found_since_nobody_signed_its_beginning(home):
    name = "20300101T000000.000000Z-1-abcdef01.jsonl"
    header, _ = to_line("header", 0, "2030-01-01T00:00:00+00:00", GENESIS, {"format": 1, "file": name})
    (home.journal_dir / name).write_bytes(header)
    (problem,) = home.verify().problems
    assert problem.startswith(name)
    assert "was not begun by a worker of this home" in problem


async def test_a_removed_checkpoint_is_found_by_the_one_behind_it_without_any_copy(home):
    (file,) = log_files(home.logs)
    lines = lines_of(file)
    file.write_bytes(b"".join(lines[:1] + lines[2:]))
    assert any(
        "was removed" in problem or "was moved" in problem for problem in home.verify(copy=False).problems
    )


async def test_the_last_checkpoints_cut_or_all_removed_are_found_by_the_copy(home):
    (file,) = log_files(home.logs)
    lines = lines_of(file)
    file.write_bytes(b"".join(lines[:-1]))
    (problem,) = home.verify().problems
    assert f"was removed from entry {len(lines) - 1} on: copy still holds it" in problem
    file.unlink()
    (problem,) = home.verify().problems
    assert "was removed with its whole file" in problem


async def test_without_its_own_checkpoints_a_cut_journal_is_still_found_by_the_copy(home):
    shutil.rmtree(home.logs)
    file = journal_files(home.journal_dir)[-1]
    truncate(home, file, lines_of(file))
    assert any("record 6: is missing" in problem for problem in home.verify().problems)


async def test_an_altered_checkpoint_is_found(home):
    (file,) = log_files(home.logs)
    raw = bytearray(file.read_bytes())
    raw[len(raw) // 2] ^= 1
    file.write_bytes(bytes(raw))
    assert any("was altered" in problem for problem in home.verify(copy=False).problems)


async def test_a_checkpoint_forged_with_another_key_is_found(home, tmp_path):
    (file,) = log_files(home.logs)
    ensure_receipt_key(tmp_path / "other")
    body = {"file": "x.jsonl", "seq": 1, "hash": "0" * 64, "files": 1, "closed": True}
    n = len(lines_of(file))
    forged = Signer(tmp_path / "other", TYPE).sign(
        entry_claims("checkpoint", body, NODE, "t", file.stem, n, None)
    )
    with file.open("ab") as stream:
        stream.write(forged.encode() + b"\n")
    assert any(
        f"entry {n} of {file.stem} was altered or forged: its key" in p for p in home.verify().problems
    )


@pytest.mark.parametrize("change", [truncate, delete_file, rehash], ids=lambda change: change.__name__)
async def test_the_database_alone_finds_a_cut_a_removed_and_a_rehashed_file(home, change):
    home.ship()
    shutil.rmtree(home.logs)
    file = journal_files(home.journal_dir)[-1]
    change(home, file, lines_of(file))
    assert any(problem.startswith(file.name) for problem in home.verify(database=True, copy=False).problems)


async def test_what_no_checkpoint_covers_yet_is_counted(home):
    await home.append(4)
    report = home.verify()
    assert report.problems == ()
    assert sum(report.unprotected.values()) == 4


async def test_a_log_cut_while_its_worker_lives_is_never_papered_over(home):
    (file,) = log_files(home.logs)
    file.write_bytes(b"".join(lines_of(file)[:-1]))
    await home.append(1)
    home.checkpointer.sign()
    assert len(log_files(home.logs)) == 2
    assert any("was removed" in problem for problem in home.verify(copy=False).problems)


def forged_line(file: Path, kind: str = "decision") -> bytes:
    """A record that follows the last one of `file` as the chain asks: no key is needed for that."""
    last = from_line(file.read_bytes().splitlines(keepends=True)[-1])
    content = {"id": "e" * 32, "tenant": "acme", "use_case": "any", "request": {"tags": []}}
    return to_line(kind, last.record["seq"] + 1, last.record["ts"], last.hash, content)[0]


def forged_file(folder: Path, continues: dict[str, object] | None = None) -> Path:
    """A whole file with an unsigned header, correctly chained."""
    file = folder / "20300101T000000.000000Z-1-abcdef01.jsonl"
    header = {"format": 1, "file": file.name, "pid": 1, "why": "start", "continues": continues}
    file.write_bytes(to_line("header", 0, "2030-01-01T00:00:00+00:00", GENESIS, header)[0])
    return file


def with_another_last_record(file: Path) -> dict[str, object]:
    """Rewrites the last record of a file, hash and all; where it stands now."""
    *before, last = file.read_bytes().splitlines(keepends=True)
    record = from_line(last).record
    content = {"id": record["id"], "tenant": "acme", "use_case": "any", "output": "FORGED"}
    line, hash_ = to_line("decision", record["seq"], record["ts"], from_line(before[-1]).hash, content)
    file.write_bytes(b"".join([*before, line]))
    return {"file": file.name, "seq": record["seq"], "hash": hash_}


async def test_a_forged_file_stays_forged_once_it_was_shipped(home):
    """What the database was given vouches for nothing."""
    file = forged_file(home.journal_dir)
    file.write_bytes(file.read_bytes() + forged_line(file))
    for _ in range(2):
        assert any(file.name in problem for problem in home.verify(database=True).problems)
        home.ship()


async def test_a_record_behind_a_closed_files_end_is_found_however_well_it_is_chained(home):
    file = journal_files(home.journal_dir)[-1]
    home.close()
    assert home.verify(database=True).problems == ()
    file.write_bytes(file.read_bytes() + forged_line(file))
    for _ in range(2):
        (problem,) = home.verify(database=True).problems
        assert "was added after the file had been closed" in problem
        assert file.name in problem
        home.ship()


async def test_a_slipped_in_follower_overrides_no_signed_checkpoint(home):
    home.close()
    forged_file(home.journal_dir, with_another_last_record(journal_files(home.journal_dir)[-1]))
    assert len(home.verify(database=True).problems) >= 2
    home.ship()
    assert len(home.verify(database=True).problems) >= 2


async def test_retention_signs_nothing_of_a_file_that_was_changed(home):
    """A rewritten file gets a new signature over its head: so a changed one is left as it is."""
    home.close()
    file = journal_files(home.journal_dir)[-1]
    with_another_last_record(file)
    changed, suspect = file.read_bytes(), home.verify().suspect
    assert file.name in suspect
    rules = Rules({}, Rule(1, {}))
    now = datetime.now(UTC) + timedelta(days=40)
    outcomes = {
        o.file: o for o in retain(home.journal_dir, rules, now, home.log, None, NODE, suspect=suspect)
    }
    assert "evidence of a change" in outcomes[file.name].left
    assert file.read_bytes() == changed
    assert file.name in str(home.verify().problems)


@pytest.mark.parametrize(
    "content",
    [
        b'{"a":' * 5000 + b"1" + b"}" * 5000,
        b'{"continues":{"file":[1],"seq":"x","hash":2},"file":"x","format":1}',
    ],
    ids=["nested", "odd types"],
)
async def test_one_poisoned_file_is_named_and_the_others_are_still_checked(home, content):
    digest = hashlib.sha256(content).hexdigest()
    head = f'{{"content_sha256":"{digest}","kind":"header","prev":"{GENESIS}","seq":0,"ts":"x"'.encode()
    own = hashlib.sha256(head + b"}").hexdigest().encode()
    poisoned = home.journal_dir / "20200101T000000.000000Z-1-00000000.jsonl"
    poisoned.write_bytes(head + b',"hash":"' + own + b'","content":' + content + b"}\n")
    (home.journal_dir / "folder.jsonl").mkdir()
    found = home.verify()
    assert any(poisoned.name in problem for problem in found.problems)
    assert any("folder.jsonl" in problem for problem in found.problems)
    assert found.records > 0


async def test_a_header_that_follows_no_file_by_name_does_not_stop_the_verification(home):
    """A whole file, rightly chained and named, whose header says that it continues a list."""
    file = forged_file(home.journal_dir, {"file": [1], "seq": 1, "hash": "x"})
    assert any(file.name in problem for problem in home.verify(database=True).problems)


async def test_a_forged_follower_hides_nothing_that_is_unprotected(home):
    """Only a header that somebody vouches for says that a file is complete."""
    await home.append(2)
    home.journal.close()
    file = journal_files(home.journal_dir)[-1]
    before = home.verify().unprotected
    assert before[file.name] == 2
    forged_file(home.journal_dir, {"file": file.name, "seq": 2, "hash": "0" * 64})
    assert home.verify().unprotected[file.name] == 2


async def test_a_worker_that_stops_signs_where_its_file_ends_also_when_that_was_signed_before(home):
    """Without the closing signature a record behind the end would pass for a later one of its own."""
    await home.append(2)
    home.checkpointer.sign()  # not a closing one
    file = journal_files(home.journal_dir)[-1]
    whole = file.read_bytes()
    file.write_bytes(whole + forged_line(file))
    assert home.verify().problems == ()  # it lives: this is the window that the guide names
    file.write_bytes(whole)
    home.close()
    assert home.verify().unprotected == {}
    file.write_bytes(whole + forged_line(file))
    (problem,) = home.verify().problems
    assert "was added after the file had been closed" in problem
