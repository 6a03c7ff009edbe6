"""The whole verification: journal files, the signed log, the database, each against the others."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.chain import ChainReport
from services.errors import StateUnavailable
from services.evidence.entries import CHECKPOINT, RETENTION, LogEntry, verify_stamp
from services.evidence.log_check import CheckedLog, Place, check_log, read_place
from services.evidence.row_check import RowCover, RowsReport, check_rows, signed_hashes
from services.evidence.vouching import NOT_OURS
from services.journal_reader import Witness, verify_journal
from services.state.decisions import Decisions, Position

DATABASE = "decisions database"


@dataclass(frozen=True, slots=True)
class EvidenceReport:
    """`problems` is empty when everything holds. `unprotected` counts, for each file, the records behind
    its last checkpoint and last shipped decision: a cut there would not show."""

    files: int
    records: int
    checkpoints: int
    removed: int
    unprotected: Mapping[str, int]
    problems: tuple[str, ...]
    notes: tuple[str, ...]
    suspect: tuple[str, ...] = ()  # journal files that a problem names
    rows: tuple[RowCover, ...] = ()  # of the decisions database, by file: what proves them
    promotions: int = 0  # entries of the signed log of promotions


def verify_evidence(
    journal: Path,
    logs: Path,
    copies: Mapping[str, Path],
    jwks: Mapping[str, Any],
    node: str,
    store: Decisions | None = None,
) -> EvidenceReport:
    """Read copies first, then the log, then the journal: each was written after the next one, so what
    comes in meanwhile is no problem."""
    notes: list[str] = []
    places: dict[str, Place] = {}
    positions: dict[str, Position] = {}
    if store is not None:
        try:
            positions = {file: p for file, p in store.positions(node).items() if p.seq >= 0}
            places[DATABASE] = store.entries(node)
        except StateUnavailable as error:
            store = None
            notes.append(f"not compared: {error.message}")
    places |= {name: read_place(folder) for name, folder in copies.items()}
    log = check_log(read_place(logs), places, jwks)
    signed = list(_witnesses(log))
    named = {witness.file for witness in signed}
    shipped = [Witness(file, position.seq, position.hash) for file, position in positions.items()]
    rows = RowsReport()
    if store is not None:
        try:
            rows = check_rows(
                journal, store, node, positions, signed_hashes([(w.file, w.seq, w.hash) for w in signed])
            )
        except StateUnavailable as error:
            notes.append(f"not compared: {error.message}")
    anchors: dict[str, dict[int, str]] = {}
    for witness in (*signed, *shipped):
        anchors.setdefault(witness.file, {})[witness.seq] = witness.hash
    report = verify_journal(
        journal,
        events=lambda: _events(log, logs, jwks),
        witnesses=(*signed, *shipped),
        vouched=lambda header, file: file in named or verify_stamp(header.record.get("stamp"), file, jwks),
    )
    problems = [*log.problems, *map(str, report.problems), *rows.problems]
    unstamped = _unstamped(report.files, named, jwks)
    problems += unstamped.values()
    checkpoints = [entry for entry in log.entries if entry.kind == CHECKPOINT]
    there, known_files = len(report.files) + len(report.problems), [e.body["files"] for e in checkpoints]
    if known_files and max(known_files) > len(list(journal.glob("*.jsonl"))):
        problems.append(f"journal/: {max(known_files)} files are known, {there} are left")
    return EvidenceReport(
        files=len(report.files),
        records=report.records,
        checkpoints=len(checkpoints),
        removed=sum(len(e.seqs) for f in report.files for e in f.emptied.values()),
        unprotected=_unprotected(report.files, anchors, unstamped),
        problems=tuple(problems),
        notes=(*notes, *log.notes, *rows.notes),
        suspect=tuple(
            sorted({*(problem.file for problem in report.problems), *unstamped, *rows.contradicted})
        ),
        rows=rows.covers,
    )


def _witnesses(log: CheckedLog) -> Iterator[Witness]:
    """What was signed of each file. Retention looks at closed files only, so its head is their last."""
    for entry in log.entries:
        body = entry.body
        if entry.kind == CHECKPOINT:
            closed = bool(body["closed"])
            yield Witness(body["file"], body["seq"], body["hash"], last=closed, whole=closed)
        elif entry.kind == RETENTION:
            yield Witness(body["file"], body["head"]["seq"], body["head"]["hash"], last=True)


def _events(log: CheckedLog, logs: Path, jwks: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Retention events by their name; read anew, since one may have been carried out meanwhile."""
    entries: tuple[LogEntry, ...] = (*log.entries, *check_log(read_place(logs), {}, jwks).entries)
    return {entry.body["event"]: entry.body for entry in entries if entry.kind == RETENTION}


def _unstamped(
    files: tuple[ChainReport, ...], named: Collection[str], jwks: Mapping[str, Any]
) -> dict[str, str]:
    """Only what is signed vouches for a file: the database has what it was shipped, forged files too."""
    return {
        file.file: f"{file.file}: {NOT_OURS}"
        for file in files
        if file.file not in named and not verify_stamp(file.header.get("stamp"), file.file, jwks)
    }


def _unprotected(
    files: tuple[ChainReport, ...], anchors: Mapping[str, Mapping[int, str]], unstamped: Collection[str]
) -> dict[str, int]:
    """A file that another follows is complete; one that nobody vouches for says nothing of others."""
    told = [f.header.get("continues") for f in files if f.file not in unstamped]
    followed = {
        name for before in told if isinstance(before, Mapping) and isinstance(name := before.get("file"), str)
    }
    found = {}
    for file in files:
        behind = file.head_seq - max(anchors.get(file.file, {}), default=0)
        if behind > 0 and file.file not in followed:
            found[file.file] = behind
    return found
