"""Which curated rows are suspect: every check of the poisoning defence, in this order, on one table.

The models that judge a row have not seen it: the use case's own kind is trained out of fold on the base
rows and the curated ones together, so that labels which the base does not know yet are judged as well.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from feature_checks.floods import near_duplicates, strange_bursts
from feature_checks.labels import label_suspects
from feature_checks.suspects import Suspect
from feature_checks.usecase import UseCase
from flows.embedding import text_inputs, unit_vectors

if TYPE_CHECKING:
    import pandas as pd

BASE = "published"
"""The source of the base rows: known by their hash, and trusted as far as a source can be."""


def suspects(
    base: "pd.DataFrame", curated: "pd.DataFrame", usecase: UseCase, params: Mapping[str, Any], seed: int
) -> list[Suspect]:
    """Suspect rows of `curated` (numbered from 0), which has a `source` column."""
    import pandas as pd

    if usecase.local is None or not len(curated):
        return []
    columns = [*usecase.input, usecase.label]
    both = pd.concat([base[columns], curated[columns]], ignore_index=True)
    probabilities, given = _out_of_fold(both, usecase, params, seed)
    said = curated["source"].astype(str).tolist()
    sources = [BASE] * len(base) + said
    found = label_suspects(probabilities, given, sources, frozenset({BASE}))
    ours = [Suspect(one.row - len(base), one.check, one.why) for one in found if one.row >= len(base)]
    inputs = list(text_inputs(usecase))
    if inputs:
        texts = curated[inputs].astype(str).agg("\n".join, axis=1).tolist()
        ours += near_duplicates(texts, said)
        ours += strange_bursts(unit_vectors(base, usecase), unit_vectors(curated, usecase), said)
    return ours


def _out_of_fold(rows: "pd.DataFrame", usecase: UseCase, params: Mapping[str, Any], seed: int) -> Any:
    """Probabilities (n, k) by models that had not seen the row, and the position of its label (n,)."""
    from flows.steps.fit import kind_module
    from flows.steps.rows import positions

    assert usecase.local is not None
    fitted = kind_module(usecase.local.kind).fit(rows, usecase, params, seed)
    return fitted.oof, positions(rows[usecase.label].tolist(), list(fitted.labels))
