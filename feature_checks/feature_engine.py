"""Computes declared features: the one code for training tables and for single requests. No I/O.

An event sees itself and what happened up to its own time, in the order of time and not of arrival, so
that a late one gets what it would have got. Labels count only where they lie `delay_days` back.
"""

import hashlib
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass
from datetime import UTC, datetime

from feature_checks.feature_spec import Feature, FeatureSpec
from feature_checks.key_history import KeyHistory

DAY_S = 86_400.0
_FAR = 30.0  # days: what `gap` says of a key's first event


@dataclass(frozen=True, slots=True)
class Event:
    """One event: its time (seconds since 1970, UTC), its id, its keys, and its numbers by field."""

    at: float
    id: int
    keys: tuple[str, ...]  # as FeatureSpec.key_fields
    numbers: Mapping[str, float]


Histories = MutableMapping[str, KeyHistory]
"""Key field -> what is remembered of this event's key."""


class FeatureEngine:
    """The features of one use case. Stateless: histories are handed in."""

    def __init__(self, spec: FeatureSpec) -> None:
        self.spec = spec
        self.names = tuple(spec.columns)
        self.keys = spec.key_fields
        self.horizon_s = spec.horizon_s
        kept = [f for f in spec.columns.values() if f.kind == "mean"]
        self.values: Mapping[str, tuple[str, ...]] = {
            key: tuple(dict.fromkeys(f.of for f in kept if f.key == key and f.of is not None))
            for key in self.keys
        }
        self.numbers = tuple(
            dict.fromkeys(f.of for f in spec.columns.values() if f.of and f.kind in ("value", "mean"))
        )
        self._edges: list[tuple[str, float]] = []
        self._steps = [_STEPS[feature.kind](self, feature) for feature in spec.columns.values()]
        self._gaps = tuple(dict.fromkeys(f.key for f in spec.columns.values() if f.kind == "gap" and f.key))

    def event(self, fields: Mapping[str, object]) -> Event:
        """An event from input fields, as JSON or a table has them. Raises `ValueError` without a time."""
        numbers = {}
        for name in self.numbers:
            value = fields.get(name)
            if isinstance(value, bool | int | float) and value == value:
                numbers[name] = float(value)
        return Event(
            at=seconds(fields.get(self.spec.time)),
            id=event_id(fields.get(self.spec.id)),
            keys=tuple(str(fields.get(key)) for key in self.keys),
            numbers=numbers,
        )

    def empty(self, key: str) -> KeyHistory:
        """The history of a key that was never seen."""
        return KeyHistory(len(self.values[key]))

    def observe(self, event: Event, histories: Histories) -> list[float]:
        """The features of `event`, which is in `histories` afterwards, once however often it comes."""
        before = {key: histories[key].before(event.at) for key in self._gaps}
        self.remember(event, histories)
        return self._compute(event, histories, before)

    def remember(self, event: Event, histories: Histories) -> None:
        """Put `event` in `histories` without a look at its features."""
        for key in self.keys:
            history = histories[key]
            if not history.holds(event.at, event.id):
                values = tuple(event.numbers.get(name, 0.0) for name in self.values[key])
                history.add(event.at, event.id, values)

    def knows(self, event: Event, histories: Histories) -> bool:
        """Was this very event observed before?"""
        return all(histories[key].holds(event.at, event.id) for key in self.keys)

    def _compute(self, event: Event, histories: Histories, before: Mapping[str, float | None]) -> list[float]:
        at, seen = event.at, _Seen(event, histories, before)
        seen.places = [histories[key].place(at - back) for key, back in self._edges]
        found = seen.found
        for step in self._steps:
            found.append(step(seen))
        return found

    def edge(self, key: str, back_s: float) -> int:
        """The place of a window's edge among those that are looked up once for each event."""
        if (key, back_s) not in self._edges:
            self._edges.append((key, back_s))
        return self._edges.index((key, back_s))


class _Seen:
    """What the steps read of one event."""

    __slots__ = ("before", "event", "found", "histories", "places")

    def __init__(self, event: Event, histories: Histories, before: Mapping[str, float | None]) -> None:
        self.event = event
        self.histories = histories
        self.before = before
        self.places: list[int] = []
        self.found: list[float] = []


_Step = Callable[[_Seen], float]


def seconds(value: object) -> float:
    """Seconds since 1970 of a time in ISO 8601 or as a datetime; without a zone it is UTC."""
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    if not isinstance(value, datetime):
        raise ValueError(f"expected a time, got {type(value).__name__}")
    return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()


def event_id(value: object) -> int:
    """64 bits that stand for an event's id."""
    if isinstance(value, int) and 0 <= value < 1 << 63:
        return value
    digest = hashlib.blake2b(str(value).encode(errors="surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little") | (1 << 63)


def _value(engine: FeatureEngine, feature: Feature) -> _Step:
    name, absent = str(feature.of), feature.absent
    return lambda seen: seen.event.numbers.get(name, absent)


def _hour(engine: FeatureEngine, feature: Feature) -> _Step:
    return lambda seen: seen.event.at % DAY_S / 3600.0


def _weekend(engine: FeatureEngine, feature: Feature) -> _Step:
    # 1970-01-01 was a Thursday; Saturday and Sunday are 5 and 6 counted from Monday.
    return lambda seen: float((int(seen.event.at // DAY_S) + 3) % 7 >= 5)


def _night(engine: FeatureEngine, feature: Feature) -> _Step:
    until = 3600.0 * (feature.hours or 0)
    return lambda seen: float(seen.event.at % DAY_S < until)


def _count(engine: FeatureEngine, feature: Feature) -> _Step:
    first, last = _window(engine, feature)
    return lambda seen: float(seen.places[last] - seen.places[first])


def _mean(engine: FeatureEngine, feature: Feature) -> _Step:
    key = str(feature.key)
    first, last = _window(engine, feature)
    column = engine.values[key].index(str(feature.of))
    return lambda seen: seen.histories[key].mean(column, seen.places[first], seen.places[last])


def _positives(engine: FeatureEngine, feature: Feature) -> _Step:
    key, until, after = str(feature.key), *_reach(engine, feature)

    def step(seen: _Seen) -> float:
        return float(seen.histories[key].positive(seen.event.at - after, seen.event.at - until))

    return step


def _risk(engine: FeatureEngine, feature: Feature) -> _Step:
    key, until, after = str(feature.key), *_reach(engine, feature)
    first, last = _window(engine, feature)

    def step(seen: _Seen) -> float:
        events = seen.places[last] - seen.places[first]
        if not events:
            return 0.0
        return seen.histories[key].positive(seen.event.at - after, seen.event.at - until) / events

    return step


def _gap(engine: FeatureEngine, feature: Feature) -> _Step:
    key = str(feature.key)

    def step(seen: _Seen) -> float:
        earlier = seen.before[key]
        return _FAR if earlier is None else min(_FAR, (seen.event.at - earlier) / DAY_S)

    return step


def _ratio(engine: FeatureEngine, feature: Feature) -> _Step:
    above, below = engine.names.index(str(feature.of)), engine.names.index(str(feature.to))
    return lambda seen: seen.found[above] / seen.found[below] if seen.found[below] else 0.0


def _reach(engine: FeatureEngine, feature: Feature) -> tuple[float, float]:
    """How far back a window ends, and how far back it begins, in seconds."""
    delayed = feature.delayed or feature.kind in ("risk", "positives")
    back = engine.spec.delay_days * DAY_S if delayed else 0.0
    return back, back + (feature.days or 0.0) * DAY_S


def _window(engine: FeatureEngine, feature: Feature) -> tuple[int, int]:
    """The edges of a window: its first and its last place."""
    until, after = _reach(engine, feature)
    return engine.edge(str(feature.key), after), engine.edge(str(feature.key), until)


_STEPS: Mapping[str, Callable[[FeatureEngine, Feature], _Step]] = {
    "value": _value,
    "hour": _hour,
    "weekend": _weekend,
    "night": _night,
    "count": _count,
    "mean": _mean,
    "risk": _risk,
    "positives": _positives,
    "gap": _gap,
    "ratio": _ratio,
}
