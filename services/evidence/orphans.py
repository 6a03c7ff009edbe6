"""Signs the end of journal files whose worker is gone, so that a tail that is cut off later shows.

A worker that stops in order signs where its file ends; one that was killed cannot. Whoever lives on, or
starts next, does it instead: the lock on a file says whether its worker lives. Only a file that a worker of
this home began and whose chain agrees with all that was signed of it is given an end; `audit verify` names
the others. Half a line that a dying worker left was never answered, and is cut off.
"""

import contextlib
import fcntl
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from services.chain import ChainReport, verify_chain
from services.errors import ChainBroken, ReceiptRefused
from services.evidence.entries import CHECKPOINT, LogEntry, peek_body, verify_entry
from services.evidence.signed_log import log_files
from services.evidence.vouching import Vouching
from services.journal_reader import journal_files

log = logging.getLogger(__name__)

EndSign = Callable[[str, int, str], None]
"""Signs that a file ends with this record: its name, the record's number and hash."""


class Orphans:
    """Remembers which files need no look any more."""

    def __init__(self, journal: Path, logs: Path, jwks: Callable[[], Mapping[str, Any]]) -> None:
        self._journal = journal
        self._logs = logs
        self._jwks = jwks
        self._vouching = Vouching(logs, jwks)
        self._settled: set[str] = set()

    def end_all(self, sign: EndSign) -> None:
        """Give every file whose worker is gone its end. Raises OSError and what `sign` raises; what was not
        done then is done at the next call."""
        for file in journal_files(self._journal):
            # An empty one is just being begun: its worker must find the lock free.
            if file.name in self._settled or not file.is_file() or not file.stat().st_size:
                continue
            with _locked(file) as free:
                if free:
                    self._end(file, sign)
                    self._settled.add(file.name)

    def _end(self, file: Path, sign: EndSign) -> None:
        said = list(self._said_of(file.name))
        if any(entry.body["closed"] for entry in said) or self._vouching.refusal(file) is not None:
            return
        try:
            report = verify_chain(file, {entry.body["seq"]: entry.body["hash"] for entry in said})
        except ChainBroken as broken:
            log.error("checkpoints: the end of %s is not signed: record %s is wrong", file.name, broken.seq)
            return
        if report.records == 0:
            return
        if report.torn_bytes:
            _cut(file, report)
        sign(file.name, report.head_seq, report.head_hash)

    def _said_of(self, name: str) -> Iterator[LogEntry]:
        """Checkpoints of one file that a key of ours signed; the many of other files are not verified."""
        for path in log_files(self._logs):
            for line in _entries(path):
                with contextlib.suppress(ValueError, ReceiptRefused):
                    if peek_body(line).get("file") == name:
                        entry = verify_entry(line, self._jwks())
                        if entry.kind == CHECKPOINT:
                            yield entry


@contextlib.contextmanager
def _locked(file: Path) -> Iterator[bool]:
    """Hold the file's lock meanwhile; False where its worker lives."""
    fd = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True
    finally:
        os.close(fd)


def _entries(path: Path) -> Sequence[str]:
    return path.read_text(encoding="ascii", errors="replace").split("\n")[:-1]


def _cut(file: Path, report: ChainReport) -> None:
    log.warning("checkpoints: %s: half a record of a worker that died is cut off", file.name)
    with file.open("r+b") as stream:
        stream.truncate(file.stat().st_size - report.torn_bytes)
        os.fsync(stream.fileno())
