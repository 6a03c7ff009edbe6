"""Keeps a copy of the signed log in a second place: another disk, or a mounted bucket.

The copy is always a beginning of the original, and what is missing is appended: so a place that was away
catches up by itself. A copy that holds something else, or more than the original, is left as it is: that
is evidence, and `audit verify` names it.
"""

import fcntl
import os
from pathlib import Path

from services.evidence.signed_log import log_files


class CopyDiffersError(OSError):
    """The copy holds what the original does not hold (any more)."""


class LogCopy:
    """Brings `target` up to `source`; one process at a time, whoever comes second leaves it to the first."""

    def __init__(self, source: Path, target: Path) -> None:
        self._source = source
        self._target = target
        self._done: dict[str, int] = {}

    def update(self) -> None:
        """Append what is missing. Raises OSError, `CopyDiffersError` among them."""
        self._source.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(self._source / ".copy.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return
            self._target.mkdir(mode=0o700, parents=True, exist_ok=True)
            for file in log_files(self._source):
                self._update(file)
            gone = {file.name for file in log_files(self._target)} - {f.name for f in log_files(self._source)}
            if gone:
                raise CopyDiffersError(f"the copy holds {min(gone)}, which is gone from its own place")
        finally:
            os.close(lock)

    def _update(self, file: Path) -> None:
        content = file.read_bytes() if self._done.get(file.name) != file.stat().st_size else b""
        content = content[: content.rfind(b"\n") + 1]
        if not content:
            return
        fd = os.open(self._target / file.name, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            there = os.pread(fd, len(content) + 1, 0)
            if not content.startswith(there):
                raise CopyDiffersError(f"the copy of {file.name} holds something else")
            missing = content[len(there) :]
            while missing:
                missing = missing[os.write(fd, missing) :]
            os.fsync(fd)
        finally:
            os.close(fd)
        self._done[file.name] = len(content)
