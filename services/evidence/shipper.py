"""Ships in the background: one worker of a machine at a time, and again and again until the database has it.

The leader holds a file lock that ends with its process; then another worker takes over, from the position
that the database knows. While the database is away it is asked ever less often, up to every 30 s.
"""

import contextlib
import fcntl
import logging
import os
import random
import threading
from collections.abc import Callable
from pathlib import Path

from services.errors import ServiceError
from services.evidence.shipping import Round, Shipment

log = logging.getLogger(__name__)

LONGEST_WAIT_S = 30.0


class Shipper:
    """A thread of one process. `on_round` is told how each round went; None: the database was away."""

    def __init__(
        self,
        shipment: Shipment,
        lock_file: Path,
        *,
        every_s: float,
        on_round: Callable[[Round | None], None] = lambda _: None,
    ) -> None:
        self._shipment = shipment
        self._lock_file = lock_file
        self._every_s = every_s
        self._on_round = on_round
        self._lock: int | None = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.problems: tuple[str, ...] = ()
        self.behind_bytes = 0

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="shipping", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread. What is not shipped yet is shipped by the next leader."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=10)
            self._thread = None
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _run(self) -> None:
        failures = 0
        while not self._stop.is_set():
            wait_s = self._every_s
            try:
                if self._leads():
                    wait_s = 0.005 if self._round().more else self._every_s  # requests come first
                failures = 0
            except Exception as error:  # noqa: BLE001  — whatever it was: nothing is lost, so try again
                failures += 1
                longest = min(LONGEST_WAIT_S, self._every_s * 2 ** min(failures, 10))
                wait_s = random.uniform(longest / 2, longest)  # noqa: S311  — jitter, not a secret
                self._failed(error)
            self._stop.wait(wait_s)

    def _round(self) -> Round:
        done = self._shipment.round()
        self.problems, self.behind_bytes = done.problems, done.behind_bytes
        self._on_round(done)
        return done

    def _failed(self, error: Exception) -> None:
        self._shipment.forget()
        why = error.message if isinstance(error, ServiceError) else type(error).__name__
        problem = f"shipping: {why}"
        if self.problems != (problem,):
            log.error("%s; the journal's files keep everything until it works again", problem)
        self.problems = (problem,)
        self._on_round(None)

    def _leads(self) -> bool:
        if self._lock is not None:
            return True
        self._lock_file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(self._lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._lock = fd
            return True
        os.close(fd)
        return False
