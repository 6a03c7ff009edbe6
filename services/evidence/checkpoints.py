"""Checkpoints: every so many records or seconds, a worker signs where its journal file stands.

In a thread of its own, off the request path. What no checkpoint covers yet is what was recorded since the
last one: at most `every_s` seconds, or `every_records` records and what came within `LOOK_S`. A place that
cannot be written is a `problem`, told to readiness and metrics, and tried again; answers go on.
"""

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

from services.errors import ServiceError
from services.evidence.copies import LogCopy
from services.evidence.entries import CHECKPOINT
from services.evidence.orphans import Orphans
from services.evidence.signed_log import SignedLog
from services.journal import Journal
from services.journal_file import Appended

log = logging.getLogger(__name__)

LOOK_S = 0.25
_SETTLED_S = 60.0


class Checkpointer:
    """One for each process. `clock` is monotonic: a wall clock that jumps does not matter here."""

    def __init__(
        self,
        journal: Journal,
        folder: Path,
        signed_log: SignedLog,
        copy: LogCopy | None,
        orphans: Orphans | None = None,
        *,
        every_records: int,
        every_s: float,
        clock: Callable[[], float] = time.monotonic,
        on_look: Callable[[int, int], None] = lambda *_: None,
    ) -> None:
        self._journal = journal
        self._folder = folder
        self._log = signed_log
        self._copy = copy
        self._orphans = orphans
        self._orphans_at = clock()
        self._every_records = every_records
        self._every_s = every_s
        self._clock = clock
        self._on_look = on_look
        self._done: Appended | None = None
        self._done_at = clock()
        self._copied = False
        self._problems: dict[str, str] = {}
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def problems(self) -> tuple[str, ...]:
        """What keeps checkpoints from being written, for readiness; empty when all is well."""
        return tuple(f"{place}: {why}" for place, why in sorted(self._problems.items()))

    @property
    def unprotected(self) -> int:
        """Records of the current file that no checkpoint covers yet."""
        head, done = self._journal.head, self._done
        if head is None:
            return 0
        return head.seq - (done.seq if done is not None and done.file == head.file else 0)

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="checkpoints", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread and sign where the journal stands now; call it once the journal is closed."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=10)
            self._thread = None
        if self._journal.head is not None:
            self.sign(closed=True)  # also where it stands signed already: now nothing may follow
        self.copy()

    def look(self) -> None:
        """Sign if it is time to, and bring the copy up to date."""
        head = self._journal.head
        if head is not None and self._is_due(head):
            self.sign()
        if self._clock() - self._orphans_at >= self._every_s:
            self.end_orphans()
        if not self._copied:
            self.copy()
        self._on_look(self.unprotected, len(self._problems))

    def sign(self, *, closed: bool = False) -> None:
        """One checkpoint. What is signed was made durable first: else a power cut would look like a theft."""
        self._done_at = self._clock()
        try:
            head = self._journal.durable_head()
            if head is None:
                return
            body = {"file": head.file, "seq": head.seq, "hash": head.hash, "closed": closed}
            self._log.append(CHECKPOINT, {**body, "files": _settled_files(self._folder)})
        except (OSError, ValueError, ServiceError) as error:
            self._failed("checkpoints", error)
            return
        self._problems.pop("checkpoints", None)
        self._done, self._copied = head, False

    def end_orphans(self) -> None:
        """Sign where the files of workers that were killed end."""
        self._orphans_at = self._clock()
        if self._orphans is None:
            return
        try:
            self._orphans.end_all(self._sign_end)
        except (OSError, ValueError, ServiceError) as error:
            self._failed("checkpoints of killed workers", error)
            return
        self._problems.pop("checkpoints of killed workers", None)

    def _sign_end(self, file: str, seq: int, hash_: str) -> None:
        body = {"file": file, "seq": seq, "hash": hash_, "closed": True}
        self._log.append(CHECKPOINT, {**body, "files": _settled_files(self._folder)})
        self._copied = False

    def copy(self) -> None:
        if self._copy is None:
            return
        try:
            self._copy.update()
        except OSError as error:
            self._failed("checkpoints copy", error)
            return
        self._problems.pop("checkpoints copy", None)
        self._copied = True

    def _is_due(self, head: Appended) -> bool:
        done, waited = self._done, self._clock() - self._done_at
        if head == done:
            return False
        if "checkpoints" in self._problems:
            return waited >= min(self._every_s, 5.0)
        if done is None or done.file != head.file:
            return True
        return waited >= self._every_s or head.seq - done.seq >= self._every_records

    def _failed(self, place: str, error: Exception) -> None:
        why = getattr(error, "strerror", None) or str(error) or type(error).__name__
        if self._problems.get(place) != why:
            log.error("%s cannot be written: %s", place, why)
        self._problems[place] = why

    def _run(self) -> None:
        while not self._stop.wait(min(LOOK_S, self._every_s)):
            try:
                self.look()
            except Exception as error:  # noqa: BLE001  — a bug here must not end checkpoints in silence
                self._failed("checkpoints", error)


def _settled_files(folder: Path) -> int:
    """How many journal files there are, all workers' together; those just begun may yet be withdrawn."""
    now = time.time()
    return sum(now - file.stat().st_mtime > _SETTLED_S for file in folder.glob("*.jsonl"))
