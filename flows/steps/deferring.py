"""The learned deferral of a fitted model, where `local.deferral` of usecase.yaml asks for it."""

from typing import TYPE_CHECKING, Any

from feature_checks.usecase import UseCase
from flows.errors import StepError
from flows.steps.rows import inputs, positions

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

    from flows.kinds.deferral import Learned
    from registry.runtimes import Predictor


def learned_deferral(fitted: Any, rows: "pd.DataFrame", usecase: UseCase, seed: int) -> "Learned | None":
    """What was learned from the out-of-fold answers to `rows`. None where plain confidence is asked for, or
    too few of its answers are unsure. Raises `StepError` for a kind whose models tell too little."""
    if usecase.local is None or usecase.local.deferral == "confidence":
        return None
    if not hasattr(fitted, "oof_signals"):
        raise StepError(
            f"usecase.yaml: local.deferral: models of kind '{usecase.local.kind}' do not tell what a learned "
            "deferral needs; say `deferral: confidence`"
        )
    from flows.kinds.deferral import Answers, learn

    truth = positions(rows[usecase.label].tolist(), list(fitted.labels))
    fields = inputs(rows, usecase)
    signals, scores = fitted.oof_signals(rows)
    answers = Answers(signals, scores, truth, fitted.folds, fields, _numbers(usecase))
    return learn(answers, len(fitted.labels), seed)


def apart(
    learned: "Learned",
    fitted: Any,
    rows: "pd.DataFrame",
    usecase: UseCase,
    exported: "Predictor",
    confidences: "npt.NDArray[np.float64]",
) -> float:
    """The largest difference between `confidences`, as served, and those by what was trained, of `rows`."""
    import numpy as np

    from registry.runtimes.deferral import DeferringPredictor

    assert isinstance(exported, DeferringPredictor)
    signals, fields = fitted.signals(rows), inputs(rows, usecase)
    table = exported.deferral.table(signals, fields, np.arange(len(rows)))
    return float(np.abs(learned.trees.trust(table) - confidences).max())


def _numbers(usecase: UseCase) -> tuple[str, ...]:
    return tuple(n for n, spec in usecase.input.items() if spec.type in ("number", "integer", "boolean"))
