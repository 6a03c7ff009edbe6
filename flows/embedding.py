"""Texts as points, for drift alone: the mean of wordllama's vectors, without any model trained here."""

import hashlib
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from registry.runtimes.text_features import TextTokenizer, clean

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
