"""Features of a whole table of events, point in time: the engine's own code, run in the order of time."""

from typing import TYPE_CHECKING, Any

from feature_checks.feature_engine import Event, FeatureEngine, event_id
from feature_checks.key_history import KeyHistory

if TYPE_CHECKING:
    import pandas as pd

_FORGET_EVERY = 64  # events of one key between two looks at what is too old


def feature_table(frame: "pd.DataFrame", engine: FeatureEngine, label: str) -> "pd.DataFrame":
    """One row of features for each event, on the frame's index. O(events x features x log events of a key).

    `frame` holds typed columns: the time in UTC, the id, the keys, the numbers and the label.
    """
    import numpy as np
    import pandas as pd

    at = frame[engine.spec.time].astype("datetime64[us, UTC]").astype("int64").to_numpy() / 1e6
    order = np.argsort(at, kind="stable")
    keys = [frame[key].map(str).tolist() for key in engine.keys]
    ids = frame[engine.spec.id].tolist()
    numbers = {name: frame[name].astype("float64").tolist() for name in engine.numbers}
    positive = (frame[label] == engine.spec.positive).tolist()
    held: list[dict[str, KeyHistory]] = [{} for _ in engine.keys]
    times = at.tolist()
    found: Any = np.empty((len(frame), len(engine.names)))
    for place in order.tolist():
        event = Event(
            times[place],
            event_id(ids[place]),
            tuple(column[place] for column in keys),
            {name: column[place] for name, column in numbers.items() if column[place] == column[place]},
        )
        histories = {}
        for key, name, store in zip(event.keys, engine.keys, held, strict=True):
            history = store.get(key)
            if history is None:
                history = store[key] = engine.empty(name)
            histories[name] = history
        found[place] = engine.observe(event, histories)
        for history in histories.values():
            if positive[place]:
                history.label(event.at)
            if len(history.times) % _FORGET_EVERY == 0:
                history.forget(event.at - engine.horizon_s)
    return pd.DataFrame(found, columns=list(engine.names), index=frame.index)
