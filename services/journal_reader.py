"""Reading the journal: over the files of all workers, dead ones included. Never writes."""

from collections.abc import Callable, Iterable, Iterator, Mapping
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
    in_journal: bool = True  # False: its file is gone, and only the decisions database still holds it


def journal_files(folder: Path) -> list[Path]:
    """The journal's files, oldest first by their names."""
    return sorted(folder.glob("*.jsonl"))


def read_entries(folder: Path) -> Iterator[Entry]:
    """Every record but headers, file by file. A torn last line is left out; so is any line that does
    not have its hash: `verify_journal` is there to name those."""
    for file in journal_files(folder):
        for link in _links(file) if file.is_file() else ():
            if link.record.get("kind") != "header":
                yield Entry(file.name, link.record, link.hash)


def find_decision(
    files: Iterable[Path], decision_id: str, offsets: Mapping[str, int] | None = None
) -> Entry | None:
    """The record of one decision, looked for in these files in their order, from the file's offset on."""
    wanted = decision_id.encode()
    for file in files:
        for link in _links(file, wanted, (offsets or {}).get(file.name, 0)):
            if link.record.get("kind") == "decision" and link.record.get("id") == decision_id:
                return Entry(file.name, link.record, link.hash)
    return None


@dataclass(frozen=True, slots=True)
class Witness:
    """Somebody who knows that record `seq` of a file has that hash, and, if `last`, that none follows it:
    if `whole`, not even half of one."""

    file: str
    seq: int
    hash: str
    last: bool = False
    whole: bool = False


def verify_journal(
    folder: Path,
    anchors: Mapping[str, Anchors] | None = None,
    events: Callable[[], Mapping[str, Mapping[str, Any]]] = dict,
    *,
    witnesses: Iterable[Witness] = (),
    vouched: Callable[[Link, str], bool] = lambda *_: True,
) -> JournalReport:
    """Check every file, each against `anchors` (file name -> record number -> hash), against `witnesses`,
    and against what the header of a following file says of it, if that header is `vouched` for. No witness
    overrides another: where two differ, that is a problem. A file that one of these knows and that is gone
    is a problem too, as is a record behind the last one. So is a tombstone that no one of the signed
    retention `events` (asked for once all files were read) accounts for.
    """
    files = journal_files(folder)
    known = _Known()
    for name, of in (anchors or {}).items():
        for seq, hash_ in of.items():
            known.learn(Witness(name, seq, hash_))
    for witness in (*witnesses, *_followers(files, vouched)):
        known.learn(witness)
    reports: list[ChainReport] = []
    for file in files:
        of = known.hashes.pop(file.name, {})
        try:
            if not file.is_file():
                raise ChainBroken(file.name, 0, "is no file")
            report = verify_chain(file, of)
        except ChainBroken as broken:
            known.problems.append(broken)
            continue
        reports.append(report)
        last = known.last.get(file.name)
        if last is not None and report.head_seq > last:
            known.problems.append(
                ChainBroken(file.name, last + 1, "was added after the file had been closed")
            )
        elif report.torn_bytes and file.name in known.whole:
            known.problems.append(
                ChainBroken(file.name, report.records, "is half a line behind the end of a closed file")
            )
    problems = known.problems
    problems += [
        ChainBroken(name, min(of), "is gone with its whole file") for name, of in known.hashes.items()
    ]
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


class _Known:
    """What all witnesses say together."""

    def __init__(self) -> None:
        self.hashes: dict[str, dict[int, str]] = {}
        self.last: dict[str, int] = {}
        self.whole: set[str] = set()
        self.problems: list[ChainBroken] = []

    def learn(self, witness: Witness) -> None:
        hashes = self.hashes.setdefault(witness.file, {})
        if hashes.setdefault(witness.seq, witness.hash) != witness.hash:
            why = "is known by two different hashes: somebody who vouches for it was changed"
            self.problems.append(ChainBroken(witness.file, witness.seq, why))
        if witness.whole:
            self.whole.add(witness.file)
        if witness.last:
            self.last[witness.file] = min(witness.seq, self.last.get(witness.file, witness.seq))


def _followers(files: Iterable[Path], vouched: Callable[[Link, str], bool]) -> Iterator[Witness]:
    """What the headers of files say of those that they follow, where the header is intact and vouched for."""
    for file in files:
        header = next(_links(file), None) if file.is_file() else None
        before = header.record.get("continues") if header else None
        if header is None or not isinstance(before, dict) or not vouched(header, file.name):
            continue
        name, seq, hash_ = (before.get(key) for key in ("file", "seq", "hash"))
        if isinstance(name, str) and isinstance(seq, int) and isinstance(hash_, str):
            yield Witness(name, seq, hash_, last=True)
