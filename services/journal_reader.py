"""Reading the journal: over the files of all workers, dead ones included. Never writes."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.chain import Anchors, ChainReport, Link, from_line, verify_chain
from services.errors import ChainBroken


@dataclass(frozen=True, slots=True)
class JournalReport:
    """All files of a journal. `problems` is empty when every chain holds."""

    files: tuple[ChainReport, ...]
    problems: tuple[ChainBroken, ...]

    @property
    def records(self) -> int:
        return sum(report.records for report in self.files)


@dataclass(frozen=True, slots=True)
class Entry:
    """One record with the place where it stands."""

    file: str
    record: Mapping[str, Any]
    hash: str


def journal_files(folder: Path) -> list[Path]:
    """The journal's files, oldest first by their names."""
    return sorted(folder.glob("*.jsonl"))


def read_entries(folder: Path) -> Iterator[Entry]:
    """Every record but headers, file by file. A torn last line is left out; so is any line that does
    not have its hash: `verify_journal` is there to name those."""
    for file in journal_files(folder):
        for link in _links(file):
            if link.record.get("kind") != "header":
                yield Entry(file.name, link.record, link.hash)


def find_decision(folder: Path, decision_id: str, offsets: Mapping[str, int] | None = None) -> Entry | None:
    """The record of one decision, looked for in every file, newest first, from the file's offset on."""
    wanted = decision_id.encode()
    for file in reversed(journal_files(folder)):
        for link in _links(file, wanted, (offsets or {}).get(file.name, 0)):
            if link.record.get("kind") == "decision" and link.record.get("id") == decision_id:
                return Entry(file.name, link.record, link.hash)
    return None


def verify_journal(
    folder: Path,
    anchors: Mapping[str, Anchors] | None = None,
    more: Callable[[str], Anchors] | None = None,
    events: Callable[[], Mapping[str, Mapping[str, Any]]] = dict,
) -> JournalReport:
    """Check every file, each against `anchors` (file name -> record number -> hash), against `more` of them
    for its name, and against what the header of a following file says of it. A file that one of these
    knows and that is gone is a problem too. So is a tombstone that no one of the signed retention
    `events` (asked for once all files were read) accounts for."""
    files = journal_files(folder)
    known: dict[str, dict[int, str]] = {name: dict(of) for name, of in (anchors or {}).items()}
    for file in files:
        if (before := _continues(file)) is not None:
            known.setdefault(before["file"], {})[before["seq"]] = before["hash"]
    reports: list[ChainReport] = []
    problems: list[ChainBroken] = []
    for file in files:
        own = known.pop(file.name, {})
        try:
            reports.append(verify_chain(file, {**(more(file.name) if more else {}), **own}))
        except ChainBroken as broken:
            problems.append(broken)
    problems += [ChainBroken(name, min(of), "is gone with its whole file") for name, of in known.items()]
    if any(report.emptied for report in reports):
        signed = events()
        problems += [broken for report in reports for broken in _unaccounted(report, signed)]
    return JournalReport(tuple(reports), tuple(problems))


def _unaccounted(report: ChainReport, events: Mapping[str, Mapping[str, Any]]) -> Iterator[ChainBroken]:
    for name, emptied in report.emptied.items():
        event = events.get(name, {})
        if event.get("file") != report.file:
            why = "was emptied, and no signed retention record names it"
        elif event.get("sha256") != emptied.sha256:
            why = "was emptied otherwise than its signed retention record says"
        else:
            continue
        yield ChainBroken(report.file, emptied.seqs[0], why)


def _links(file: Path, holding: bytes = b"", offset: int = 0) -> Iterator[Link]:
    with file.open("rb") as stream:
        stream.seek(offset)
        for line in stream:
            if holding in line and line.endswith(b"\n"):
                try:
                    yield from_line(line)
                except ValueError:
                    continue


def _continues(file: Path) -> Mapping[str, Any] | None:
    """What the header says of the file that this one follows, if it is an intact header."""
    header = next(_links(file), None)
    before = header.record.get("continues") if header else None
    return before if isinstance(before, dict) and before.keys() >= {"file", "seq", "hash"} else None
