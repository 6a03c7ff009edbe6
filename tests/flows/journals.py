"""Journals for tests, written by the code that serves: decisions, and what people said of them."""

import asyncio
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from services.journal import Journal
from services.synthesis import Outcome
from services.values import Envelope


class Traffic:
    """Writes decisions and feedback of one use case into a journal folder."""

    def __init__(self, folder: Path, use_case: str, label: str) -> None:
        self._journal, self._use_case, self._label = Journal(folder), use_case, label
        self._n = 0

    def decided(
        self,
        fields: Mapping[str, Any],
        answered: str | None,
        route: str = "cloud/primary",
        tenant: str = "acme",
        tags: Iterable[str] = ("user_content",),
        purpose: str = "service",
        confidence: float | None = None,
    ) -> str:
        """One decision; returns its id."""
        self._n += 1
        made = f"{self._n:032x}"
        envelope = Envelope(
            made, self._use_case, tenant, dict(fields), frozenset(tags), "0" * 64, purpose=purpose
        )
        output = None if answered is None else {self._label: answered}
        outcome = Outcome(route, output, None, confidence, False, (), (), (), {}, 0.0)
        asyncio.run(self._journal.append(envelope, outcome))
        return made

    def said(
        self, made: str, source: str, label: str | None, tenant: str = "acme", settles: bool = False
    ) -> None:
        """One person's word: a label, or only that it was wrong."""
        verdict: dict[str, bool | str] = {"correct": False} if label is None else {"label": label}
        asyncio.run(self._journal.append_feedback(made, tenant, verdict, source, settles))

    def close(self) -> None:
        self._journal.close()
