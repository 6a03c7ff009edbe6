"""Features of a whole table of events, point in time: the engine's own code, run in the order of time."""

from typing import TYPE_CHECKING, Any

from feature_checks.feature_engine import Event, FeatureEngine, event_id
from feature_checks.key_history import KeyHistory

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

_FORGET_EVERY = 64  # events of one key between two looks at what is too old


def feature_table(
    frame: "pd.DataFrame", engine: FeatureEngine, label: str, wanted: "npt.NDArray[np.bool_] | None" = None
) -> "pd.DataFrame":
    """One row of features for each event, on the frame's index. O(events x features x log events of a key).

    With `wanted` (n,) only for those events; the others are remembered, as far as they matter to one of them.
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
    asked = [True] * len(frame) if wanted is None else wanted.tolist()
    last = max((times[place] for place in range(len(frame)) if asked[place]), default=-np.inf)
    for place in order.tolist():
        if times[place] > last:
            break
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
        if asked[place]:
            found[place] = engine.observe(event, histories)
        else:
            engine.remember(event, histories)
        for history in histories.values():
            if positive[place]:
                history.label(event.at)
            if len(history.times) % _FORGET_EVERY == 0:
                history.forget(event.at - engine.horizon_s)
    table = pd.DataFrame(found, columns=list(engine.names), index=frame.index)
    return table if wanted is None else table[wanted]
