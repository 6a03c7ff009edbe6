"""How well a replay of events ranks them: the local model alone, the plan, and with senders' own scores."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from feature_checks.feature_engine import DAY_S, seconds
from feature_checks.ranking import K, average_precision, card_precision_at_k, resampled, roc_auc
from feature_checks.usecase import UseCase
from services.replay import Replayed, Row, rows_of
from services.targets.local import Scored

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]

TIMES = 200
"""Redrawn sets of cards for each interval."""


def ranking_report(usecase: UseCase, rows: Sequence[Row], replayed: Sequence[Replayed]) -> dict[str, Any]:
    """Metrics by their usual names, each with its middle 95 % over redrawn cards; empty without features.

    On the top level those of the local model alone; `plan` those of its decisions, as a person would take
    them up: declined first, then what is open, then approved, each by the local score. `federated`: of the
    rows that have a sender's score which was not sent, with it and without.
    """
    if usecase.features is None:
        return {}
    import numpy as np

    spec = usecase.features
    known = [(row, came) for row, came in zip(rows, replayed, strict=True) if row.truth is not None]
    scored = [(row, came) for row, came in known if came.scored is not None]
    if not scored:
        return {}
    alone = [_positive(came.scored, spec.positive) for _, came in scored]
    table = _Table(usecase, [row for row, _ in scored])
    found = table.metrics(np.array(alone))
    order = [_order(usecase, came.label) for _, came in scored]
    found["plan"] = table.metrics(np.array(alone) + np.array(order)) | _decisions(usecase, known)
    offs = [came.off for _, came in known if came.off is not None]
    found["features_max_abs_difference"] = max(offs) if offs else None
    if both := [(row, came) for row, came in scored if came.combined is not None]:
        some = _Table(usecase, [row for row, _ in both])
        found["federated"] = {
            "n": len(both),
            "simulated": sorted({name for row, _ in both for name in row.unsent}),
            "alone": some.metrics(np.array([_positive(came.scored, spec.positive) for _, came in both])),
            "with_score": some.metrics(
                np.array([_positive(came.combined, spec.positive) for _, came in both])
            ),
        }
    return found


def ranking_of(usecase: UseCase, frame: "pd.DataFrame", scores: "Floats") -> dict[str, Any]:
    """The metrics of scores (n,) of the rows of a table of events."""
    rows = rows_of(frame.to_dict("records"), usecase, labelled=True)
    return _Table(usecase, rows).metrics(scores)


class _Table:
    """Labels, cards and days of rows."""

    def __init__(self, usecase: UseCase, rows: Sequence[Row]) -> None:
        import numpy as np

        assert usecase.features is not None
        key = usecase.data.leave_out_known or (*usecase.features.key_fields, usecase.features.id)[0]
        time = usecase.features.time
        self.positive = np.array([row.truth == usecase.features.positive for row in rows])
        self.keys = np.unique([str(row.fields[key]) for row in rows], return_inverse=True)[1]
        self.days = np.array([int(seconds(row.fields[time]) // DAY_S) for row in rows])

    def metrics(self, scores: "Floats") -> dict[str, Any]:
        measures: dict[str, Callable[[Ints, Ints], float | None]] = {
            "roc_auc": lambda at, own: roc_auc(scores[at], self.positive[at]),
            "average_precision": lambda at, own: average_precision(scores[at], self.positive[at]),
            f"card_precision_at_{K}": lambda at, own: self._card_precision(scores, at, own),
        }
        found: dict[str, Any] = {}
        import numpy as np

        every = np.arange(len(scores))
        for name, measure in measures.items():
            value, interval = measure(every, self.keys), resampled(measure, self.keys, TIMES)
            found[name] = None if value is None else round(value, 5)
            found[f"{name}_interval"] = interval and [round(bound, 5) for bound in interval]
        return found

    def _card_precision(self, scores: "Floats", at: "Ints", own: "Ints") -> float:
        daily = card_precision_at_k(scores[at], self.positive[at], own, self.days[at])
        return sum(daily) / len(daily)


def _positive(said: Scored | None, positive: str) -> float:
    assert said is not None
    return said.confidence if said.label == positive else 1.0 - said.confidence


def _order(usecase: UseCase, decided: object) -> int:
    assert usecase.features is not None
    if decided == usecase.features.positive:
        return 2
    return 0 if decided in usecase.labels else 1


def _decisions(usecase: UseCase, known: Sequence[tuple[Row, Replayed]]) -> dict[str, Any]:
    """How many rows got which decision, and how many of those are positive."""
    assert usecase.features is not None
    counts: dict[str, list[int]] = {}
    for row, came in known:
        one = counts.setdefault(str(came.label), [0, 0])
        one[0] += 1
        one[1] += row.truth == usecase.features.positive
    return {"decisions": {name: {"count": n, "positive": bad} for name, (n, bad) in sorted(counts.items())}}
