"""Compares the decisions database with the journal, both ways: every row with its record, every record with
its row. The journal is the evidence; a row that it contradicts is named by id and place."""

import hashlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from services.chain import Link, from_line
from services.journal_reader import journal_files
from services.state.decisions import Decisions, Position, RowFacts

WHERE = "decisions database"


@dataclass(frozen=True, slots=True)
class RowCover:
    """What proves the rows of one file. `journal`: the record is in the file that is still there; `emptied`:
    both are tombstones, which a signed retention record names. The rest are ids of rows whose file is gone:
    `signed` have the hash that a signed record names, `unproven` are proved by nothing."""

    file: str
    journal: int = 0
    emptied: int = 0
    signed: tuple[str, ...] = ()
    unproven: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RowsReport:
    """`contradicted` are the files whose records and rows disagree, whoever of them was changed."""

    covers: tuple[RowCover, ...] = ()
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    contradicted: tuple[str, ...] = ()


def check_rows(
    journal: Path,
    store: Decisions,
    node: str,
    positions: Mapping[str, Position],
    signed: Mapping[str, Mapping[int, str]],
) -> RowsReport:
    """`positions` were read before: what is shipped or recorded meanwhile is then no problem. `signed` is
    what signed records know: file -> record number -> hash. Raises `StateUnavailable`."""
    covers: list[RowCover] = []
    problems: list[str] = []
    contradicted: list[str] = []
    files = {file.name: file for file in journal_files(journal) if file.is_file()}
    for name in sorted({*files, *store.files(node)}):
        rows = store.facts(name)  # before the file: a row never comes before its record
        count = len(rows)
        if name in files:
            found: list[str] = []
            cover = _compare(files[name], rows, node, positions.get(name, Position()), store, found)
        else:
            cover, found = _without_file(name, rows, signed.get(name, {}))
        if count:
            covers.append(cover)
        if found:
            contradicted.append(name)
        problems += found
    foreign = store.other_nodes(node)
    notes = [f"{WHERE}: {n} rows are of home {other}: verify them there" for other, n in foreign.items()]
    return RowsReport(tuple(covers), tuple(problems), tuple(notes), tuple(contradicted))


def _compare(
    file: Path,
    rows: dict[int, RowFacts],
    node: str,
    position: Position,
    store: Decisions,
    problems: list[str],
) -> RowCover:
    """Takes from `rows` what has its record."""
    emptied, matched, seen = 0, 0, set[int]()
    finished = store.applied_retentions(file.name)
    for link, digest in _decisions(file):
        seq: int = link.record["seq"]
        if seq in seen:
            continue  # the chain's own check names it
        seen.add(seq)
        decision_id, row = link.record.get("id"), rows.pop(seq, None)
        place = f"{WHERE}: decision {decision_id} (record {seq} of {file.name})"
        if row is None:
            if seq <= position.seq and not _stands_elsewhere(store, decision_id, file.name, seq):
                problems.append(f"{place}: its row was removed")
            continue
        wrong = _differences(link, digest, row, node, finished)
        if wrong:
            problems.append(f"{place}: its row was altered: {', '.join(wrong)}")
            continue
        matched, emptied = matched + 1, emptied + link.emptied
    problems += [
        f"{WHERE}: row {row.id} was put in, or its record was taken out: record {seq} of {file.name} "
        "is no such decision"
        for seq, row in sorted(rows.items())
    ]
    return RowCover(file.name, journal=matched - emptied, emptied=emptied)


def _differences(link: Link, digest: str, row: RowFacts, node: str, finished: Collection[str]) -> list[str]:
    record = link.record
    expected = (record.get("id"), record.get("tenant"), record.get("use_case"), record["ts"], link.hash, node)
    found = (row.id, row.tenant, row.use_case, row.at, row.hash, row.node)
    names = ("id", "tenant", "use_case", "at", "hash", "node")
    wrong = [name for name, one, other in zip(names, expected, found, strict=True) if one != other]
    # Retention was interrupted before it came to the row, and its next run finishes it.
    waits = link.removed is not None and link.removed["event"] not in finished and row.proves_itself
    if row.line_sha256 != digest and not waits:
        wrong.append("line")
    return wrong


def _without_file(
    name: str, rows: Mapping[int, RowFacts], signed: Mapping[int, str]
) -> tuple[RowCover, list[str]]:
    problems = []
    proved: list[str] = []
    unproven: list[str] = []
    for seq, row in sorted(rows.items()):
        place = f"{WHERE}: row {row.id} (record {seq} of {name})"
        if not signed:
            problems.append(f"{place} was put in: there is no such file, and nothing signed names one")
        elif seq > max(signed):
            problems.append(f"{place} was put in, or is of the lost tail: nothing signed reaches so far")
        elif not row.proves_itself or signed.get(seq, row.hash) != row.hash:
            problems.append(f"{place} was altered: it does not have the hash that is signed, or its own")
            continue
        (proved if signed.get(seq) == row.hash else unproven).append(row.id)
    return RowCover(name, signed=tuple(proved), unproven=tuple(unproven)), problems


def _stands_elsewhere(store: Decisions, decision_id: object, file: str, seq: int) -> bool:
    """An id that was recorded twice is shipped once; the other row is compared where it stands."""
    row = store.find(str(decision_id))
    return row is not None and (row.file, row.seq) != (file, seq)


def _decisions(file: Path) -> Iterator[tuple[Link, str]]:
    """Decisions with the digest of their lines, newline excluded."""
    with file.open("rb") as stream:
        for line in stream:
            try:
                link = from_line(line) if line.endswith(b"\n") else None
            except ValueError:
                continue
            if link is not None and link.record.get("kind") == "decision":
                yield link, hashlib.sha256(line[:-1]).hexdigest()


def signed_hashes(witnesses: Collection[tuple[str, int, str]]) -> dict[str, dict[int, str]]:
    """File -> record number -> hash."""
    found: dict[str, dict[int, str]] = {}
    for file, seq, hash_ in witnesses:
        found.setdefault(file, {})[seq] = hash_
    return found
