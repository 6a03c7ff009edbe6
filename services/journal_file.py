"""One append-only journal file of one worker: whole lines or nothing, each chained to the one before."""

import contextlib
import errno
import fcntl
import os
import secrets
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from services.chain import FORMAT, GENESIS, to_line

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Appended:
    """Where a record stands: what a receipt binds itself to."""

    file: str
    seq: int
    hash: str
    at: str  # ISO 8601, UTC


class Unusable(OSError):
    """This file must not be written any more; a new one must be begun."""

    def __init__(self, why: str) -> None:
        super().__init__(errno.EIO, why)
        self.why = why


class JournalFile:
    """Made by `create`. Not safe for two writers: the journal serialises appends."""

    def __init__(self, path: Path, fd: int, now: Clock) -> None:
        self.path = path
        self._now = now
        self.size = 0
        self.seq = -1
        self.head = GENESIS
        self._fd = fd
        self._closing = threading.Lock()  # a sync must not meet a descriptor that is closed or reused
        self._closed = False
        self._in_doubt = False

    @classmethod
    def create(
        cls,
        folder: Path,
        why: str,
        before: Appended | None,
        stamp: Callable[[str], str] | None = None,
        now: Clock = utc_now,
    ) -> "JournalFile":
        """Begin a file with its header. `before` is the last record of the file that this one follows;
        `stamp` signs the file's name, so that nobody without the key can slip in a whole file.

        A lock on the file says that its worker lives. Raises OSError, and then leaves nothing behind.
        """
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        started = now()
        name = f"{started:%Y%m%dT%H%M%S.%f}Z-{os.getpid()}-{secrets.token_hex(4)}.jsonl"
        path = folder / name
        fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        file = cls(path, fd, now)
        follows = None if before is None else {"file": before.file, "seq": before.seq, "hash": before.hash}
        header = {"format": FORMAT, "file": name, "pid": os.getpid(), "why": why, "continues": follows}
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if stamp is not None:
                header["stamp"] = stamp(name)
            file.append("header", header)
            file.sync()
            _sync_folder(folder)
        except BaseException:
            file.close()
            path.unlink(missing_ok=True)
            raise
        return file

    def append(self, kind: str, content: Mapping[str, Any]) -> Appended:
        """Write one record in one go. `content` must be JSON-like.

        Raises OSError when it could not be written whole; the file is then as it was before. Raises
        `Unusable` when the file was removed or touched by somebody else, or cannot be put back.
        """
        self._check_untouched()
        seq, at = self.seq + 1, self._now().isoformat(timespec="microseconds")
        line, digest = to_line(kind, seq, at, self.head, content)
        try:
            written = os.write(self._fd, line)
        except OSError:
            self._put_back()  # some file systems write a part and then fail
            raise
        if written != len(line):
            self._put_back()
            raise OSError(errno.ENOSPC, "only a part of the record could be written")
        self.seq, self.head, self.size = seq, digest, self.size + written
        return Appended(self.path.name, seq, digest, at)

    def sync(self) -> None:
        """Make everything written so far survive a loss of power. Raises OSError.

        After one failure the kernel may call lost pages clean, and a second sync would succeed without
        having saved them: so the first failure is for good, and nothing more is written here.
        """
        with self._closing:
            if self._in_doubt:
                raise OSError(errno.EIO, "an earlier sync of this file failed")
            if not self._closed:
                try:
                    os.fdatasync(self._fd)
                except OSError:
                    self._in_doubt = True
                    raise

    def close(self) -> None:
        """Sync as far as that works, then close; whoever still waits for a sync hears how it went."""
        with contextlib.suppress(OSError):
            self.sync()
        with self._closing:
            if not self._closed:
                self._closed = True
                os.close(self._fd)

    def _check_untouched(self) -> None:
        if self._in_doubt:
            raise Unusable("a sync of the journal file failed")
        state = os.fstat(self._fd)
        if state.st_nlink == 0:
            raise Unusable("the journal file was removed")
        if state.st_size != self.size:
            raise Unusable("the journal file was changed from outside")

    def _put_back(self) -> None:
        try:
            os.ftruncate(self._fd, self.size)
        except OSError as error:
            raise Unusable("a half-written record could not be cut off") from error


def _sync_folder(folder: Path) -> None:
    """The name of a new file must survive a loss of power too."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
