"""Texts as points, for drift, curation and deferral: the mean of wordllama's vectors, no model of ours."""

import hashlib
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from feature_checks.usecase import UseCase
from registry.runtimes.text_features import TextTokenizer, clean

if TYPE_CHECKING:
    import pandas as pd

Floats = npt.NDArray[np.float64]


class Embedder:
    """`name` says which table and tokenizer: points of two names cannot be compared."""

    def __init__(self, table: npt.NDArray[np.float32], tokenizer: bytes) -> None:
        self.name = f"wordllama-{hashlib.sha256(table.tobytes() + tokenizer).hexdigest()[:12]}"
        self._table = table
        self._tokens = TextTokenizer(tokenizer)

    def __call__(self, texts: Sequence[str]) -> Floats:
        """(n, 256), each of length 1, or 0 for a text without a token."""
        found = np.zeros((len(texts), self._table.shape[1]))
        for at, text in enumerate(texts):
            if tokens := self._tokens(clean(text)):
                found[at] = self._table[tokens].mean(axis=0)
        lengths = np.linalg.norm(found, axis=1, keepdims=True)
        unit: Floats = found / np.where(lengths > 0, lengths, 1)
        return unit


@cache
def open_embedder() -> Embedder:
    """Read once a process: 32 MB as 32-bit numbers."""
    from flows.kinds.text_corpus import read_wordllama

    quantised, tokenizer = read_wordllama()
    table: Any = quantised.table()
    return Embedder(table, tokenizer)


def text_inputs(usecase: UseCase) -> tuple[str, ...]:
    """The fields of free text."""
    return tuple(n for n, spec in usecase.input.items() if spec.type == "string" and spec.values is None)


def unit_vectors(rows: "pd.DataFrame", usecase: UseCase) -> Floats:
    """The point of each row's texts, the same for rows of training and of traffic: (n, 256); (n, 0) for a use
    case without texts."""
    from flows.kinds.text_corpus import read_texts

    inputs = text_inputs(usecase)
    if not inputs or not len(rows):
        return np.zeros((len(rows), 0))
    return open_embedder()(read_texts(rows, inputs))
