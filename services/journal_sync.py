"""Making journal files durable, in a thread of its own: all records written meanwhile share one sync."""

import asyncio
import logging
import threading

from services.journal_file import JournalFile

log = logging.getLogger(__name__)


class Syncer:
    """Syncs the current file `delay_s` after it got dirty; with 0, at once (group commit)."""

    def __init__(self, delay_s: float) -> None:
        self._delay_s = delay_s
        self._changed = threading.Condition()
        self._dirty: JournalFile | None = None
        self._waiting: list[asyncio.Future[None]] = []
        self._stopping = False
        self._thread: threading.Thread | None = None

    def written(self, file: JournalFile) -> None:
        """Something was appended to `file`."""
        with self._changed:
            self._mark(file)

    async def durable(self, file: JournalFile) -> None:
        """Return once all that was appended to `file` so far is durable. Raises OSError."""
        future = asyncio.get_running_loop().create_future()
        with self._changed:
            self._waiting.append(future)
            self._mark(file)
        await future

    def stop(self) -> None:
        """Sync what is left and end the thread."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _mark(self, file: JournalFile) -> None:
        if self._dirty is None:
            self._changed.notify()
        self._dirty = file
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="journal-sync", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._dirty is not None or self._stopping)
                if self._dirty is None:
                    return
                if self._delay_s:
                    self._changed.wait_for(lambda: self._stopping, timeout=self._delay_s)
                file, self._dirty = self._dirty, None
                waiting, self._waiting = self._waiting, []
            problem: OSError | None = None
            try:
                file.sync()
            except OSError as error:
                problem = error
                log.error("journal: sync failed: %s", error.strerror)
            for future in waiting:
                _settle(future, problem)


def _settle(future: asyncio.Future[None], problem: OSError | None) -> None:
    def settle() -> None:
        if future.done():
            return
        if problem is None:
            future.set_result(None)
        else:
            future.set_exception(problem)

    try:
        future.get_loop().call_soon_threadsafe(settle)
    except RuntimeError:
        log.warning("journal: a request ended before its record was durable")  # its loop is closed
