"""Features of one request: the engine of training, on what is remembered of the request's keys.

Keys are as the envelope has them: what is tagged `identifier` is a keyed hash, and all are told apart by
tenant and use case. What cannot be worked out for certain is not guessed: the request goes on without
features, and its reasons say why.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from feature_checks.feature_engine import DAY_S, Event, FeatureEngine
from feature_checks.feature_spec import FeatureSpec
from feature_checks.key_history import KeyHistory
from services.errors import StateUnavailable
from services.values import AttemptRecord, Envelope

log = logging.getLogger(__name__)

NAME = "features"

Bounds = tuple[float, float]
NO_BOUNDS: Mapping[str, Bounds] = {}

Change = Callable[[list[KeyHistory | None]], list[KeyHistory]]


class HistoryStore(Protocol):
    """Remembers key histories. `columns` are the numbers of value columns, one for each key."""

    async def change(self, keys: Sequence[str], columns: Sequence[int], change: Change) -> None:
        """Hand what is remembered of these keys (None: nothing) to `change`, and keep what it returns.

        Nobody else changes them in between. Raises `StateUnavailable`.
        """
        ...


class MemoryHistories(HistoryStore):
    """Of this process alone, gone when it ends: for tests, evaluations and single workers."""

    def __init__(self) -> None:
        self._held: dict[str, KeyHistory] = {}

    def of(self, key: str, columns: int) -> KeyHistory:
        """The history of a key, to be changed in place; a new one where there was none."""
        return self._held.setdefault(key, KeyHistory(columns))

    async def change(self, keys: Sequence[str], columns: Sequence[int], change: Change) -> None:
        self._held.update(zip(keys, change([self._held.get(key) for key in keys]), strict=True))


class OnlineFeatures:
    """Of one use case. `clock` gives seconds since 1970; None where the events' own time is not now.

    `bounds`: fields whose numbers are not believed outside of them (least, most); then no event is counted.
    """

    def __init__(
        self,
        spec: FeatureSpec,
        store: HistoryStore,
        clock: Callable[[], float] | None,
        bounds: Mapping[str, Bounds] = NO_BOUNDS,
    ) -> None:
        self.engine = FeatureEngine(spec)
        self._bounds = bounds
        self._store = store
        self._clock = clock

    async def enrich(self, envelope: Envelope) -> tuple[Envelope, list[AttemptRecord]]:
        """The envelope with its features, and what there is to say about them."""
        try:
            event = self.engine.event(envelope.fields)
        except (ValueError, OverflowError):
            return envelope, [
                _failed("the time of the event cannot be read; with a time they would be there")
            ]
        if problem := self._unbelievable(envelope.fields) or self._untimely(event):
            return envelope, [_failed(problem)]
        found: list[float] = []
        said: list[str] = []

        def change(held: list[KeyHistory | None]) -> list[KeyHistory]:
            known = [
                history or self.engine.empty(key) for key, history in zip(self.engine.keys, held, strict=True)
            ]
            histories = dict(zip(self.engine.keys, known, strict=True))
            said[:] = self._remarks(event, histories)
            found[:] = self.engine.observe(event, histories)
            for history in known:
                history.forget(event.at - self.engine.horizon_s - DAY_S * self.engine.spec.max_late_days)
            return known

        try:
            await self._store.change(_names(envelope, self.engine.keys, event), self._columns(), change)
        except StateUnavailable:
            return envelope, [_failed("what is remembered cannot be reached; with it they would be there")]
        features: Mapping[str, float] = dict(zip(self.engine.names, found, strict=True))
        return replace(envelope, features=features), [AttemptRecord(NAME, "noted", text) for text in said]

    async def label(self, envelope_fields: Mapping[str, object], tenant: str, use_case: str) -> None:
        """The event of these (redacted) fields has the positive label. One that was not counted
        has none, and a second time changes nothing. Raises `StateUnavailable`."""
        event = self.engine.event(envelope_fields)

        def change(held: list[KeyHistory | None]) -> list[KeyHistory]:
            known = [
                history or self.engine.empty(key) for key, history in zip(self.engine.keys, held, strict=True)
            ]
            for history in known:
                history.confirm(event.at, event.id)
            return known

        names = [
            f"{tenant}/{use_case}/{key}/{value}"
            for key, value in zip(self.engine.keys, event.keys, strict=True)
        ]
        await self._store.change(names, self._columns(), change)

    def _columns(self) -> list[int]:
        return [len(self.engine.values[key]) for key in self.engine.keys]

    def _unbelievable(self, fields: Mapping[str, object]) -> str | None:
        for name, (least, most) in self._bounds.items():
            value = fields.get(name)
            if isinstance(value, int | float) and not least <= value <= most:
                shown = f"less than {least:g}" if value < least else f"more than {most:g}"
                return f"{name} is {shown}, so the event is not counted; within bounds they would be there"
        return None

    def _untimely(self, event: Event) -> str | None:
        """Why an event is not counted, or None."""
        if self._clock is None:
            return None
        spec, now = self.engine.spec, self._clock()
        if event.at > now + spec.max_ahead_s:
            return (
                f"the event lies more than {spec.max_ahead_s:g} s in the future; with a time up to now they "
                "would be there"
            )
        if event.at < now - spec.max_late_days * DAY_S:
            return (
                f"the event is older than {spec.max_late_days:g} days; had it come sooner they would be there"
            )
        return None

    def _remarks(self, event: Event, histories: Mapping[str, KeyHistory]) -> list[str]:
        """What is unusual about an event, in words; asked before it is observed."""
        if self.engine.keys and self.engine.knows(event, dict(histories)):
            return ["this event was seen before and is not counted twice; a new id would count"]
        said = [
            f"nothing is remembered of this {key}: its first event; a known one would have a history"
            for key, history in histories.items()
            if not history.times
        ]
        if any(history.times and history.times[-1] > event.at for history in histories.values()):
            said.append("arrived out of order; it sees what came before its own time, as it would have then")
        return said


def _names(envelope: Envelope, keys: Sequence[str], event: Event) -> list[str]:
    scope = f"{envelope.tenant}/{envelope.use_case}"
    return [f"{scope}/{key}/{value}" for key, value in zip(keys, event.keys, strict=True)]


def _failed(why: str) -> AttemptRecord:
    return AttemptRecord(NAME, "failed", why)
