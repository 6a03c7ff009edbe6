"""The world around replayed events: what came before and between them is remembered when they come."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from feature_checks.feature_engine import DAY_S, FeatureEngine, seconds
from feature_checks.key_history import KeyHistory
from feature_checks.usecase import UseCase
from services.online_features import MemoryHistories
from services.privacy.envelope import IDENTIFIER
from services.privacy.hashing import keyed_hash

if TYPE_CHECKING:
    import pandas as pd

    from feature_checks.labelled import LabelledData


class Past:
    """Events that are remembered and not asked about. `until` remembers those up to a time, `judged` what is
    known of one that was asked about; both count from their own time on, labels after the delay."""

    def __init__(
        self, usecase: UseCase, frame: "pd.DataFrame", tenant: str, hash_key: bytes, store: MemoryHistories
    ) -> None:
        """`frame` holds typed columns, as training has them, the label too; in any order."""
        assert usecase.features is not None
        self._usecase = usecase
        self._engine = FeatureEngine(usecase.features)
        self._store = store
        self._scope = f"{tenant}/{usecase.name}"
        self._tenant, self._hash_key = tenant, hash_key
        self._names: dict[tuple[str, object], str] = {}
        self._rows = self._in_order(frame)
        self._next = next(self._rows, None)

    def until(self, fields: Mapping[str, object]) -> None:
        """Remember all that happened up to the time of the event with these fields, as a request has them."""
        at = seconds(fields[self._engine.spec.time])
        while self._next is not None and self._next[0] <= at:
            self._remember(*self._next)
            self._next = next(self._rows, None)

    def judged(self, fields: Mapping[str, object], truth: str | None) -> None:
        """The label of an event that was asked about; nobody counts it before its delay is over."""
        if truth == self._engine.spec.positive:
            at = seconds(fields[self._engine.spec.time])
            for key in self._engine.keys:
                self._history(key, fields[key]).label(at)

    def _in_order(self, frame: "pd.DataFrame") -> Iterator[tuple[float, dict[str, object], bool]]:
        spec = self._engine.spec
        columns = [spec.time, spec.id, *self._engine.keys, *self._engine.numbers]
        rows = frame.sort_values(spec.time, kind="stable")
        positive = (rows[self._usecase.label] == spec.positive).tolist()
        records: list[Any] = rows[columns].to_dict("records")
        for fields, bad in zip(records, positive, strict=True):
            yield fields[spec.time].timestamp(), fields, bad

    def _remember(self, at: float, fields: dict[str, object], positive: bool) -> None:
        event = self._engine.event(fields)
        for key in self._engine.keys:
            history = self._history(key, fields[key])
            history.add(at, event.id, tuple(event.numbers.get(n, 0.0) for n in self._engine.values[key]))
            if positive:
                history.label(at)

    def _history(self, key: str, value: object) -> KeyHistory:
        name = self._names.get((key, value))
        if name is None:
            tagged = IDENTIFIER in self._usecase.input[key].tags
            kept = keyed_hash(self._hash_key, "id", self._tenant, value) if tagged else value
            name = self._names[key, value] = f"{self._scope}/{key}/{kept}"
        return self._store.of(name, len(self._engine.values[key]))


def past_rows(usecase: UseCase, data: "LabelledData", replayed: "pd.DataFrame") -> "pd.DataFrame":
    """Everything but the rows that are replayed, as far back as a window of theirs reaches."""
    import pandas as pd

    assert usecase.features is not None
    time, parts = usecase.features.time, (data.train, data.test, data.history)
    whole = pd.concat([part for part in parts if part is not None and len(part)])
    others = whole[~whole.index.isin(replayed.index)]
    if not len(replayed):
        return others.iloc[:0]
    reach = pd.Timedelta(seconds=FeatureEngine(usecase.features).horizon_s + DAY_S)
    times = replayed[time]
    found: pd.DataFrame = others[(others[time] >= times.min() - reach) & (others[time] <= times.max())]
    return found
