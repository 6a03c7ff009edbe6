"""The journal: every decision is appended here before its answer leaves.

An append-only file for each worker process in `{home}/journal/`, hash-chained (chain.py). A record is
written with one `write`, so it survives `kill -9` once `append` returns. What it takes to survive a
loss of power is a setting: `interval` syncs in the background, `always` before `append` returns, with
all requests of a moment sharing one sync. If a record cannot be written, `JournalUnavailable`: no
answer without a record. Takes an `Envelope` and an `Outcome` only, so nothing raw can reach it.
"""

import logging
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from services.errors import JournalUnavailable
from services.journal_file import Appended, Clock, JournalFile, Unusable, utc_now
from services.journal_sync import Syncer
from services.synthesis import Outcome
from services.values import AttemptRecord, Envelope

log = logging.getLogger(__name__)

MAX_FILE_BYTES = 64 * 1024 * 1024


class Journal:
    """The writing side, one for each process. Makes folder and file at the first record."""

    def __init__(
        self,
        folder: Path,
        *,
        sync: Literal["interval", "always"] = "interval",
        sync_s: float = 0.2,
        max_file_bytes: int = MAX_FILE_BYTES,
        stamp: Callable[[str], str] | None = None,
        now: Clock = utc_now,
    ) -> None:
        self._folder = folder
        self._stamp = stamp
        self._now = now
        self._final: Appended | None = None
        self._always = sync == "always"
        self._delay_s = 0.0 if self._always else sync_s
        self._max_file_bytes = max_file_bytes
        self._writer = self._new_writer()
        self._problem: str | None = None

    async def append(self, envelope: Envelope, outcome: Outcome) -> Appended:
        """Record one decision. Raises `JournalUnavailable`."""
        return await self._append("decision", decision_record(envelope, outcome))

    async def append_stream(
        self, envelope: Envelope, target: str, policy_ids: Sequence[str], versions: Mapping[str, str]
    ) -> Appended:
        """Record that text of this target's answer goes out from now on, before all of it is there. A
        `decision` of the same id says how it ended; without one, its caller got no end. Raises
        `JournalUnavailable`."""
        content = {
            "id": envelope.id,
            "tenant": envelope.tenant,
            "use_case": envelope.use_case,
            "request_digest": envelope.digest,
            "target": target,
            "policy_ids": tuple(policy_ids),
            "versions": dict(versions),
        }
        return await self._append("stream", content)

    async def append_feedback(
        self,
        decision_id: str,
        tenant: str,
        verdict: Mapping[str, bool | str],
        source: str | None = None,
        settles: bool = False,
    ) -> Appended:
        """Record what turned out to be right. `verdict` is {"correct": …} or {"label": …}, both from
        closed sets that the caller has checked; `source` is the key that said so; `settles`: it was said of a
        label in doubt, and decides. Raises `JournalUnavailable`."""
        said = {"id": decision_id, "tenant": tenant, "verdict": dict(verdict), "source": source}
        content = {**said, "settles": True} if settles else said
        return await self._append("feedback", content)

    @property
    def problem(self) -> str | None:
        """Why the last record could not be written, or None: for readiness."""
        return self._problem

    def close(self) -> None:
        """Make all records durable and close the file. A later record begins a new one."""
        self._writer.close()
        self._final = self._writer.last or self._final
        self._writer = self._new_writer()

    @property
    def head(self) -> Appended | None:
        """The last record of this process, or None before the first; after `close` too."""
        return self._writer.last or self._final

    def durable_head(self) -> Appended | None:
        """As `head`, once it survives a loss of power. Raises OSError. Not for the event loop."""
        return self._writer.sync() or self._final

    async def _append(self, kind: str, content: Mapping[str, Any]) -> Appended:
        if os.getpid() != self._writer.pid:
            self._writer = self._new_writer()  # forked: the old one belongs to the parent
        try:
            file, appended = self._writer.write(kind, content)
            if self._always:
                await self._writer.syncer.durable(file)
            else:
                self._writer.syncer.written(file)
        except (OSError, ValueError, TypeError) as error:  # ValueError: what JSON or UTF-8 cannot hold
            self._problem = getattr(error, "strerror", None) or type(error).__name__
            log.error("journal: a record could not be written: %s", self._problem)
            raise JournalUnavailable(
                f"not answered, since its record could not be written ({self._problem}); "
                "try again once the journal's disk can be written"
            ) from error
        self._problem = None
        return appended

    def _new_writer(self) -> "_Writer":
        return _Writer(self._folder, self._max_file_bytes, Syncer(self._delay_s), self._stamp, self._now)


class _Writer:
    """The current file of one process, and when to begin the next one."""

    def __init__(
        self,
        folder: Path,
        max_file_bytes: int,
        syncer: Syncer,
        stamp: Callable[[str], str] | None,
        now: Clock,
    ) -> None:
        self.pid = os.getpid()
        self.syncer = syncer
        self.last: Appended | None = None
        self._stamp = stamp
        self._now = now
        self._folder = folder
        self._max_file_bytes = max_file_bytes
        self._writing = threading.Lock()
        self._file: JournalFile | None = None
        self._why_next = "start"

    def write(self, kind: str, content: Mapping[str, Any]) -> tuple[JournalFile, Appended]:
        """Append to the current file, or to a new one where that must not be used any more."""
        with self._writing:
            file = self._file
            if file is not None and file.size >= self._max_file_bytes:
                self._leave("the file before was full")
            elif file is not None:
                try:
                    self.last = file.append(kind, content)
                    return file, self.last
                except Unusable as unusable:
                    log.error("journal: a new file is begun: %s", unusable.why)
                    self._leave(unusable.why)
            file = self._file = JournalFile.create(
                self._folder, self._why_next, self.last, self._stamp, self._now
            )
            self.last = file.append(kind, content)
            return file, self.last

    def sync(self) -> Appended | None:
        with self._writing:
            file, last = self._file, self.last
        if file is not None:
            file.sync()
        return last

    def close(self) -> None:
        self.syncer.stop()
        with self._writing:
            self._leave("closed")

    def _leave(self, why: str) -> None:
        if self._file is not None:
            self._file.close()
        self._file, self._why_next = None, why


def decision_record(envelope: Envelope, outcome: Outcome) -> dict[str, Any]:
    """What the journal holds of one decision: JSON-like, redacted by the types it is made from."""
    return {
        "id": envelope.id,
        "tenant": envelope.tenant,
        "use_case": envelope.use_case,
        "request": {
            "digest": envelope.digest,
            "fields": dict(envelope.fields),
            **({} if envelope.features is None else {"features": dict(envelope.features)}),
            "tags": sorted(envelope.tags),
            "subject": envelope.subject,
            "session": envelope.session,
            "residency": envelope.residency,
            "purpose": envelope.purpose,
        },
        "output": None if outcome.output is None else dict(outcome.output),
        "answer_digest": outcome.answer_digest,
        "route": outcome.route,
        "confidence": outcome.confidence,
        "degraded": outcome.degraded,
        "attempts": [_attempt_record(attempt) for attempt in outcome.attempts],
        "validators": outcome.validators,
        "versions": dict(outcome.versions),
        "cost_usd": outcome.cost_usd,
        **({} if outcome.stream is None else {"stream": asdict(outcome.stream)}),
        **({"rollouts": [one.plain for one in outcome.variants]} if outcome.variants else {}),
    }


def _attempt_record(attempt: AttemptRecord) -> dict[str, Any]:
    return {
        "target": attempt.target,
        "outcome": attempt.outcome,
        "reason": attempt.reason,
        "policy_ids": attempt.policy_ids,
        "latency_ms": attempt.latency_ms,
        "cost_usd": attempt.cost_usd,
        "model": attempt.model,
        **({} if attempt.confidence is None else {"confidence": attempt.confidence}),
        **({} if attempt.label is None else {"label": attempt.label}),
    }
