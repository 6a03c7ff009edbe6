"""One answer on its way out while it is still written, with its commit point.

Before its first text goes out, a `stream` record is appended to the journal. From then on this answer is the
only one that its caller can get: nothing is asked again, and nobody else. Until then whatever fails is a
failed attempt like any other.
"""

import logging
from collections.abc import Callable, Mapping

from services.errors import JournalUnavailable
from services.journal import Journal
from services.journal_file import Appended
from services.prepared import PreparedUseCase
from services.privacy.reidentify import StreamReidentifier
from services.privacy.vault import Vault
from services.release import Release
from services.reply_field import reply_field
from services.synthesis import Streamed
from services.targets import Target
from services.values import Envelope
from services.verify import prefixes

log = logging.getLogger(__name__)


class Outlet:
    """Where the text goes: `put` takes pieces as their caller reads them. `gone` is set when nobody reads
    any more, just before the request's task is cancelled."""

    def __init__(self, put: Callable[[str], None]) -> None:
        self.put = put
        self.gone = False


class Flow:
    """One request's text between an attempt and its outlet."""

    def __init__(
        self, prepared: PreparedUseCase, envelope: Envelope, vault: Vault, journal: Journal, outlet: Outlet
    ) -> None:
        self.commit: Appended | None = None
        self.released = ""  # as the model wrote it, placeholders and all
        self._outlet = outlet
        self._journal = journal
        self._envelope = envelope
        self._reidentify = StreamReidentifier(vault, envelope)
        self._field = reply_field(prepared.usecase)
        self._version = prepared.usecase.version
        self._prefixes = prefixes(prepared.validators, self._field)
        self._shut = False

    @property
    def possible(self) -> bool:
        """Can all validators judge a text that is still being written?"""
        return self._prefixes is not None

    @property
    def gone(self) -> bool:
        """Has the caller gone away?"""
        return self._outlet.gone

    def writing(self, target: Target, policy_ids: tuple[str, ...]) -> "Writing":
        """For one attempt: what is told of its text."""
        return Writing(self, target, policy_ids, Release(self._prefixes or (), self._field, self._envelope))

    def holds(self, output: Mapping[str, object]) -> bool:
        """Does this answer begin with what went out?"""
        return str(output.get(self._field, "")).startswith(self.released)

    def ended(self, incomplete: str | None) -> Streamed | None:
        """For the record: how it ended, if anything went out at all."""
        if self.commit is None:
            return None
        return Streamed(self.commit.hash, incomplete, None if incomplete is None else self.released)

    async def let_out(self, text: str, target: Target, policy_ids: tuple[str, ...]) -> None:
        """Commit if this is the first text, then hand it on. Without its record nothing goes out."""
        if self._shut:
            return
        if self.commit is None:
            versions = {"config": self._version, **target.versions}
            try:
                self.commit = await self._journal.append_stream(
                    self._envelope, target.name, policy_ids, versions
                )
            except JournalUnavailable:
                self.shut()  # the answer may still go out whole, if its own record can be written
                return
        self.released += text
        self._outlet.put(self._reidentify.feed(text))

    def shut(self) -> None:
        """Nothing more goes out before the verdict."""
        self._shut = True


class Writing:
    """Told of one attempt's text as far as it is written; lets out what may go. Fails nobody."""

    def __init__(self, flow: Flow, target: Target, policy_ids: tuple[str, ...], release: Release) -> None:
        self._flow = flow
        self._target = target
        self._policy_ids = policy_ids
        self._release = release

    async def __call__(self, text: str) -> None:
        try:
            ready = self._release.step(text)
        except Exception as error:  # noqa: BLE001  — a broken check holds the text back; `verify` judges the whole
            log.error("judging the beginning of an answer failed: %s", type(error).__name__)
            self._flow.shut()
            return
        if ready:
            await self._flow.let_out(ready, self._target, self._policy_ids)
