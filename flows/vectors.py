"""Rows as unit vectors, the same for rows of training and of traffic: mean embeddings of their texts."""

from typing import TYPE_CHECKING

from feature_checks.usecase import UseCase

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd


def text_inputs(usecase: UseCase) -> tuple[str, ...]:
    """The fields of free text."""
    return tuple(n for n, spec in usecase.input.items() if spec.type == "string" and spec.values is None)


def unit_vectors(rows: "pd.DataFrame", usecase: UseCase) -> "npt.NDArray[np.float64]":
    """Mean embedding of each row's texts, of length 1: (n, 256); (n, 0) for a use case without texts."""
    import numpy as np

    from flows.embedding import open_embedder
    from flows.kinds.text_corpus import read_texts

    inputs = text_inputs(usecase)
    if not inputs or not len(rows):
        return np.zeros((len(rows), 0))
    return open_embedder()(read_texts(rows, inputs))
