"""Takes expired contents out of closed journal files and the database, and leaves signed tombstones.

For each file: make the new one beside it and sync it, sign what will be gone into the log, then replace
the file in one step, then the rows in the database. Killed anywhere, a second run finishes: an event
whose file was not replaced yet says nothing of it, and one that the database lacks is applied again.
"""

import fcntl
import hashlib
import os
import secrets
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from services.chain import ChainReport, from_line, to_tombstone, verify_chain
from services.errors import ChainBroken, StateUnavailable
from services.evidence.entries import RETENTION
from services.evidence.retention import Rules
from services.evidence.signed_log import SignedLog
from services.journal_reader import journal_files
from services.state.decisions import Decisions

MAX_RANGES = 1000


@dataclass(frozen=True, slots=True)
class FileOutcome:
    """What was (or would be) done to one file. `left` says why it was left as it is, or not finished;
    `skipped` are numbers of decisions that are kept, since their time says no zone or is no time at all."""

    file: str
    removed: int = 0
    left: str | None = None
    skipped: tuple[int, ...] = ()


def retain(
    folder: Path,
    rules: Rules,
    now: datetime,
    signed_log: SignedLog,
    store: Decisions | None,
    node: str,
    *,
    suspect: Collection[str],
    dry_run: bool = False,
) -> Iterator[FileOutcome]:
    """One outcome for each file. Raises OSError when the log cannot be written; no content is gone then
    that the log does not name. Files in `suspect` have a problem that `audit verify` names: they are left
    as they are, since a rewritten file gets a new signature over its head."""
    for file in journal_files(folder):
        if file.name in suspect or not file.is_file():
            yield FileOutcome(
                file.name, left="it is evidence of a change; `switchyard audit verify` says which"
            )
            continue
        with _alone(file) as alone:
            if not alone:
                yield FileOutcome(file.name, left="a live worker writes it; it is looked at once closed")
                continue
            try:
                report = verify_chain(file)
            except ChainBroken as broken:
                yield FileOutcome(file.name, left=f"it is evidence of a change: {broken}")
                continue
            outcome = _retain_one(file, report, rules, now, signed_log, dry_run)
            yield outcome if dry_run or store is None else _apply(file, outcome, store, node)


def _retain_one(
    file: Path, report: ChainReport, rules: Rules, now: datetime, signed_log: SignedLog, dry_run: bool
) -> FileOutcome:
    event = secrets.token_hex(16)
    lines, tombstones, skipped = _rewritten(file, rules, now, event)
    if dry_run or not tombstones:
        return FileOutcome(file.name, len(tombstones), skipped=skipped)
    temporary = file.with_name(f".{file.name}.retain")
    temporary.touch(mode=0o600)
    with temporary.open("wb") as stream:
        stream.writelines(lines)
        stream.flush()
        os.fsync(stream.fileno())
    digest = hashlib.sha256(b"".join(tombstones.values())).hexdigest()
    head = {"seq": report.head_seq, "hash": report.head_hash}
    body = {"event": event, "file": file.name, "seqs": _ranges(list(tombstones)), "sha256": digest}
    signed_log.append(RETENTION, {**body, "records": len(tombstones), "head": head})
    temporary.replace(file)
    descriptor = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return FileOutcome(file.name, len(tombstones), skipped=skipped)


def _rewritten(
    file: Path, rules: Rules, now: datetime, event: str
) -> tuple[list[bytes], dict[int, bytes], tuple[int, ...]]:
    """All lines as they will stand, the new tombstones among them, and the numbers of decisions whose time
    nobody can tell: those stay as they are. A torn last line is left out."""
    skipped: list[int] = []
    lines: list[bytes] = []
    tombstones: dict[int, bytes] = {}
    latest: datetime | None = None
    for line in file.read_bytes().splitlines(keepends=True):
        if not line.endswith(b"\n"):
            continue
        record = from_line(line).record
        written = _time_of(record)
        if written is None:
            if record["kind"] == "decision" and "removed" not in record:
                skipped.append(record["seq"])
            lines.append(line)
            continue
        latest = written if latest is None else max(latest, written)
        limit = rules.expired(record, latest, now)
        if limit is not None:
            days, tag = limit
            why = {"event": event, "at": now.isoformat(), "days": days, "tag": tag, "reason": "retention"}
            line = tombstones[record["seq"]] = to_tombstone(line, why)  # noqa: PLW2901  — it takes its place
        lines.append(line)
    return lines, tombstones, tuple(skipped)


def _time_of(record: Mapping[str, Any]) -> datetime | None:
    """None for a time without a zone, which may be any of a day's hours, and for one that is none."""
    try:
        written = datetime.fromisoformat(record["ts"])
        return written.astimezone(UTC) if written.tzinfo is not None else None
    except (ValueError, OverflowError):
        return None


def _apply(file: Path, outcome: FileOutcome, store: Decisions, node: str) -> FileOutcome:
    """Bring the database up to what the file says, events of earlier runs included."""
    events: dict[str, dict[int, str]] = {}
    for line in file.read_bytes().splitlines():
        if b'"removed":' in line and (removed := from_line(line + b"\n").removed) is not None:
            seq: int = from_line(line + b"\n").record["seq"]
            events.setdefault(removed["event"], {})[seq] = line.decode()
    try:
        missing = events.keys() - (store.applied_retentions(file.name) if events else set())
        for event in sorted(missing):
            store.empty(node, file.name, event, events[event])
    except StateUnavailable as error:
        return replace(outcome, left=f"not yet taken out of the database: {error.message}; run this again")
    return outcome


def _ranges(seqs: list[int]) -> list[list[int]]:
    """[1, 2, 3, 7] as [[1, 3], [7, 7]], for people; where that grows too long to sign, the first and the
    last number alone: what binds is the digest over the tombstones."""
    found: list[list[int]] = []
    for seq in seqs:
        if found and found[-1][1] == seq - 1:
            found[-1][1] = seq
        else:
            found.append([seq, seq])
    return found if len(found) <= MAX_RANGES else [[seqs[0], seqs[-1]]]


@contextmanager
def _alone(file: Path) -> Iterator[bool]:
    """Does no worker write this file? Held while it is replaced."""
    descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield True
    except BlockingIOError:
        yield False
    finally:
        os.close(descriptor)


def summary(outcomes: list[FileOutcome]) -> Mapping[str, Any]:
    """For `--json`."""
    return {
        "removed": sum(outcome.removed for outcome in outcomes),
        "files": [
            {"file": o.file, "removed": o.removed, "left": o.left, "skipped": list(o.skipped)}
            for o in outcomes
        ],
    }
