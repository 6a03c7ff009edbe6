"""The decisions database against the journal, both ways: no row passes for a record that is none."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import pytest_asyncio
from sqlalchemy import text

from services.chain import from_line, to_line
from services.evidence.retain import retain
from services.evidence.retention import Rule, Rules
from services.journal_reader import journal_files
from tests.services.evidence.made import KINDS, NODE, Home, opened


@pytest_asyncio.fixture(params=KINDS)
async def home(request: pytest.FixtureRequest, tmp_path: Path):
    with opened(request.param, tmp_path) as database:
        made = Home(tmp_path, database)
        made.database = database
        made.ids = await made.append(4)
        made.close()
        made.ship()
        assert made.verify(database=True).problems == ()
        yield made


def execute(home, statement: str, **values) -> None:
    with home.database.writing() as connection:
        assert connection.execute(text(statement), values).rowcount == 1


def forged(home, place: int, **changes) -> tuple[str, str]:
    """The line and hash of a row's record, changed and rehashed: it proves itself."""
    (file,) = journal_files(home.journal_dir)
    record = dict(from_line(file.read_bytes().splitlines(keepends=True)[place]).record)
    head = {name: record.pop(name) for name in ("kind", "seq", "ts", "prev", "content_sha256")}
    line, hash_ = to_line("decision", head["seq"], head["ts"], head["prev"], {**record, **changes})
    return line.decode().rstrip(), hash_


async def test_a_removed_row_is_named_and_the_decision_is_still_shown_from_the_journal(home):
    execute(home, "DELETE FROM decisions WHERE id = :id", id=home.ids[1])
    (problem,) = home.verify(database=True).problems
    (file,) = journal_files(home.journal_dir)
    assert f"decision {home.ids[1]} (record 2 of {file.name}): its row was removed" in problem
    assert home.finder().find(home.ids[1]).record["id"] == home.ids[1]


@pytest.mark.parametrize("column", ["tenant", "use_case", "at", "node"])
async def test_an_altered_column_is_named(home, column):
    execute(home, f"UPDATE decisions SET {column} = 'evil' WHERE id = :id", id=home.ids[0])
    (problem,) = home.verify(database=True).problems
    assert f"decision {home.ids[0]}" in problem
    assert problem.endswith(f"its row was altered: {column}")


async def test_a_forged_row_that_proves_itself_is_named_and_never_shown(home):
    line, hash_ = forged(home, 3, output="FORGED")
    execute(home, "UPDATE decisions SET line = :l, hash = :h WHERE id = :id", l=line, h=hash_, id=home.ids[2])
    report = home.verify(database=True)
    (problem,) = report.problems
    assert f"decision {home.ids[2]} (record 3 of" in problem
    assert "was altered: hash, line" in problem
    assert report.suspect == (journal_files(home.journal_dir)[0].name,)
    assert home.finder().find(home.ids[2]).record["output"] == {"reply": "An answer."}


@pytest.mark.parametrize("file_is_there", [True, False])
async def test_a_row_that_was_put_in_is_named(home, file_is_there):
    line, hash_ = forged(home, 4, id="e" * 32)
    file = journal_files(home.journal_dir)[0].name if file_is_there else "made-up.jsonl"
    execute(
        home,
        "INSERT INTO decisions (id, tenant, use_case, at, node, file, seq, hash, line) "
        "VALUES (:id, 'acme', 'any', 't', :node, :file, 99, :hash, :line)",
        id="e" * 32, node=NODE, file=file, hash=hash_, line=line,
    )  # fmt: skip
    (problem,) = home.verify(database=True).problems
    assert "e" * 32 in problem
    assert "was put in" in problem
    shown = home.finder().find("e" * 32)
    assert shown is None if file_is_there else not shown.in_journal


async def test_an_id_that_was_changed_is_named_from_both_sides(home):
    execute(home, "UPDATE decisions SET id = :new WHERE id = :id", new="e" * 32, id=home.ids[0])
    (problem,) = home.verify(database=True).problems
    assert problem.endswith("its row was altered: id")
    assert home.finder().find("e" * 32) is None
    assert home.finder().find(home.ids[0]).record["id"] == home.ids[0]


async def test_what_proves_each_row_is_said_also_when_its_file_is_gone(home):
    (cover,) = home.verify(database=True).rows
    assert (cover.journal, cover.emptied, cover.signed, cover.unproven) == (4, 0, (), ())
    (file,) = journal_files(home.journal_dir)
    file.unlink()
    report = home.verify(database=True)
    assert any("is gone with its whole file" in problem for problem in report.problems)
    (cover,) = report.rows
    assert (cover.file, cover.journal) == (file.name, 0)
    assert cover.signed == (home.ids[3],)  # the closing checkpoint names this one
    assert cover.unproven == tuple(home.ids[:3])
    assert not home.finder().find(home.ids[0]).in_journal


async def test_tombstones_are_told_apart_and_a_row_that_brings_contents_back_is_no_answer(home):
    now = datetime.now(UTC) + timedelta(days=9)
    with home.database.reading() as connection:
        (before,) = connection.execute(
            text("SELECT line FROM decisions WHERE id = :id"), {"id": home.ids[0]}
        ).one()
    list(retain(home.journal_dir, Rules({}, Rule(1)), now, home.log, home.store, NODE, suspect=()))
    report = home.verify(database=True)
    assert report.problems == ()
    assert [(cover.journal, cover.emptied) for cover in report.rows] == [(0, 4)]
    assert "planted" in json.dumps(before)
    execute(home, "UPDATE decisions SET line = :line WHERE id = :id", line=before, id=home.ids[0])
    assert "removed" in home.finder().find(home.ids[0]).record
    (problem,) = home.verify(database=True).problems
    assert problem.endswith("its row was altered: line")


async def test_a_row_without_its_line_is_named_and_the_journals_record_is_shown(home):
    line = '{"not": "a record"}'
    execute(home, "UPDATE decisions SET line = :line WHERE id = :id", line=line, id=home.ids[0])
    (problem,) = home.verify(database=True).problems
    assert problem.endswith("its row was altered: line")
    assert home.finder().find(home.ids[0]).record["request"]["fields"] == {"text": "planted words"}
