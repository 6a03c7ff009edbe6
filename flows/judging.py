"""One window held against the reference of the model that serves: everything but where either comes from."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from feature_checks.drift import DriftVerdict, Feature, Share, drift_verdict, size
from feature_checks.drift_reference import Reference, require_same_inputs
from feature_checks.errors import DriftInputError
from feature_checks.journal_window import Window
from feature_checks.usecase import UseCase
from flows.embedding import Embedder
from flows.monitored import event_features, input_features, prediction_features
from flows.steps.scores import row_thresholds
from registry.records import Acceptance
from registry.runtimes import Predictor, judged

OPERATIONS = "operations."
STRICTER: Mapping[str, float] = {"concept.wrong": 0.05}
"""Of answers that are promised to be right 98 times in 100, 0.2 would be ten times too many."""
_NO_ANSWER = frozenset({"safe_default", "stale", "none"})
_OF_MANY = 10_000


@dataclass(frozen=True, slots=True)
class Findings:
    """`verdict`, and what a reader needs beside it. `unmeasured`: feature -> why it is not in the verdict."""

    verdict: DriftVerdict
    window: Window = field(repr=False)
    features: Mapping[str, Feature] = field(repr=False)
    reference: Mapping[str, Feature] = field(repr=False)
    unmeasured: Mapping[str, str]

    @property
    def retrain(self) -> bool:
        """Would new training help? It cures no outage: what operations alone show is for people."""
        return any(one.drifted and one.feature != f"{OPERATIONS}fallback" for one in self.verdict.features)

    def plain(self) -> dict[str, Any]:
        """As JSON has it."""
        seen, routes = self.window, self.window.routes
        count = max(1, sum(routes.values()))
        cloud = sum(n for route, n in routes.items() if route.startswith("cloud"))
        return {
            **asdict(self.verdict),
            "retrain": self.retrain,
            "unmeasured": dict(self.unmeasured),
            "window": {
                "decisions": seen.total,
                "looked_at": len(seen.rows),
                "from": seen.first,
                "to": seen.last,
                "unreadable": seen.lost,
                "emptied": seen.emptied,
            },
            "operations": {
                "routes": dict(routes),
                "cloud_share": cloud / count,
                "fallback_rate": _fallen(routes) / count,
            },
        }


def judge(
    usecase: UseCase,
    reference: Reference,
    predictor: Predictor,
    rule: Acceptance | float,
    window: Window,
    embed: Embedder,
    reviewed: Share | str,
) -> Findings:
    """Compare, feature by feature; `rule` says which answers are accepted, or from which confidence on.

    Raises `DriftInputError` where the two cannot be compared.
    """
    require_same_inputs(reference, usecase)
    if reference.embedding != embed.name:
        raise DriftInputError(
            f"the reference was made with embeddings '{reference.embedding}', here are '{embed.name}': train "
            "the model again with this version"
        )
    now = _features(usecase, predictor, rule, window, embed)
    unmeasured: dict[str, str] = {}
    if isinstance(reviewed, Share):
        now["concept.wrong"] = reviewed
    else:
        unmeasured["concept.wrong"] = reviewed
    known = dict(reference.features)
    if usecase.slo.fallback_rate is not None:
        known[f"{OPERATIONS}fallback"] = Share(round(usecase.slo.fallback_rate * _OF_MANY), _OF_MANY)
    least = usecase.monitoring.min_rows
    for name in sorted(known.keys() & now.keys()):
        rows = min(size(known[name]), size(now[name]))
        if rows < least and len(window.rows) >= least:
            unmeasured[name] = f"{rows} rows, at least {least} are needed"
    shared = [name for name in known if name in now and name not in unmeasured]
    bounds = {**STRICTER, **usecase.monitoring.bounds}
    if unknown := sorted(usecase.monitoring.bounds.keys() - known.keys()):
        names = ", ".join(sorted(known))
        raise DriftInputError(
            f"usecase.yaml: monitoring.bounds: '{unknown[0]}' is no feature; features: {names}"
        )
    if not shared:
        few = DriftVerdict(
            False, f"not known: at least {least} rows of a feature are needed", len(window.rows)
        )
        return Findings(few, window, now, known, unmeasured)
    verdict = drift_verdict(
        {name: known[name] for name in shared}, {name: now[name] for name in shared}, bounds, min_rows=least
    )
    return Findings(verdict, window, now, known, unmeasured)


def _features(
    usecase: UseCase, predictor: Predictor, rule: Acceptance | float, window: Window, embed: Embedder
) -> dict[str, Feature]:
    rows = window.rows
    columns = {name: rows[f"field.{name}"].to_pylist() for name in usecase.input}
    names = rows["id"].to_pylist()
    features = input_features(columns, usecase, embed, names)
    if usecase.features is not None:
        columns = {name: rows[f"feature.{name}"].to_pylist() for name in usecase.features.columns}
        features |= event_features(columns, usecase)
    seen = [columns[name] for name in usecase.model_inputs]
    asked: list[Mapping[str, object]] = [
        dict(zip(usecase.model_inputs, row, strict=True))
        for row in zip(*seen, strict=True)
        if usecase.features is None or None not in row  # without its features the model was not asked
    ]
    if asked:
        probabilities, confidences = judged(predictor, asked)
        threshold = rule if isinstance(rule, float) else row_thresholds(probabilities, predictor.labels, rule)
        features |= prediction_features(probabilities, confidences, predictor.labels, threshold)
    features[f"{OPERATIONS}fallback"] = Share(_fallen(window.routes), sum(window.routes.values()))
    return features


def _fallen(routes: Mapping[str, int]) -> int:
    return sum(n for route, n in routes.items() if route in _NO_ANSWER)
