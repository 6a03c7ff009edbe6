"""The signed log `{home}/checkpoints/`: entries appended one by one, by all workers of a machine in turn.

One line an entry, in files of at most 4 MiB that each name the last entry of the one before. A writer
holds a file lock while it reads the last entry and appends the next, so all workers share one chain. A
log that was cut, changed or removed since this process last wrote is not continued: a new one is begun
that names the entry that is missing, so that the loss shows for good.
"""

import contextlib
import fcntl
import logging
import os
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from services.evidence.entries import Mark, entry_claims, entry_digest, peek
from services.signer import Signer

log = logging.getLogger(__name__)

MAX_LOG_BYTES = 4 * 1024 * 1024
_TAIL_BYTES = 64 * 1024
SUFFIX = ".jws"


def utc_text() -> str:
    """Now, as text: ISO 8601, UTC."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def log_files(folder: Path) -> list[Path]:
    """The logs in a folder, in the order in which they were begun: they are numbered, not dated."""
    return sorted(folder.glob(f"*{SUFFIX}"))


class SignedLog:
    """The writing side. Makes the folder at the first entry."""

    def __init__(
        self,
        folder: Path,
        signer: Signer,
        node: str,
        *,
        now: Callable[[], str] = utc_text,
        max_log_bytes: int = MAX_LOG_BYTES,
    ) -> None:
        self.folder = folder
        self._signer = signer
        self._node = node
        self._now = now
        self._max_log_bytes = max_log_bytes
        self._last: Mark | None = None
        self._writing = threading.Lock()

    def append(self, kind: str, body: Mapping[str, Any]) -> Mark:
        """Sign one entry and make it durable. Raises OSError; the log is then as it was before."""
        with self._writing, self._locked():
            path, before = self._place()
            n = before.n + 1 if before is not None and before.log == path.stem else 0
            signed = self._signer.sign(
                entry_claims(kind, body, self._node, self._now(), path.stem, n, before)
            )
            _append_line(path, signed)
            self._last = Mark(path.stem, n, entry_digest(signed))
            return self._last

    def _place(self) -> tuple[Path, Mark | None]:
        """The file to append to, and the entry that comes before."""
        files = log_files(self.folder)
        if not files:
            return self._new(files), self._last
        newest = files[-1]
        before = _last_mark(newest)
        if self._last not in (None, before) and not _holds(self.folder, self._last):
            log.error("checkpoints: the last entry of this process is gone or changed; a new log is begun")
            return self._new(files), self._last
        if before is None:
            log.error("checkpoints: the end of %s cannot be read; a new log is begun", newest.name)
            return self._new(files), self._last
        return (self._new(files) if newest.stat().st_size >= self._max_log_bytes else newest), before

    def _new(self, files: list[Path]) -> Path:
        names = [file.stem for file in files] + ([self._last.log] if self._last else [])
        number = max((int(name.split("-")[0]) for name in names if name.split("-")[0].isdigit()), default=0)
        return self.folder / f"{number + 1:08d}-{secrets.token_hex(4)}{SUFFIX}"

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(self.folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)


def _append_line(path: Path, signed: str) -> None:
    line = signed.encode("ascii") + b"\n"
    is_new = not path.exists()
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    size = _cut_torn(fd)
    try:
        if os.write(fd, line) != len(line):
            raise OSError("only a part of the entry could be written")
        os.fsync(fd)
    except OSError:
        with contextlib.suppress(OSError):
            os.ftruncate(fd, size)
        raise
    finally:
        os.close(fd)
    if is_new:
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _cut_torn(fd: int) -> int:
    """Cut off the half-written entry of a worker that died; returns the size that is left."""
    size = os.fstat(fd).st_size
    start = max(0, size - _TAIL_BYTES)
    tail = os.pread(fd, size - start, start)
    whole = start + tail.rfind(b"\n") + 1
    if size and whole != size:
        os.ftruncate(fd, whole)
    return whole


def _last_mark(path: Path) -> Mark | None:
    with path.open("rb") as stream:
        size = os.fstat(stream.fileno()).st_size
        stream.seek(max(0, size - _TAIL_BYTES))
        lines = stream.read().split(b"\n")[:-1]
    try:
        return peek(lines[-1].decode("ascii")) if lines else None
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _holds(folder: Path, mark: Mark | None) -> bool:
    """Is this entry still where it was written?"""
    if mark is None:
        return True
    try:
        text = (folder / f"{mark.log}{SUFFIX}").read_text(encoding="ascii", errors="replace")
    except FileNotFoundError:
        return False
    lines = text.split("\n")
    return mark.n < len(lines) - 1 and entry_digest(lines[mark.n]) == mark.sha256
