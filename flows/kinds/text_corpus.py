"""Training texts as count matrices, made once by the featuriser's own code and sliced by every fold."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import sparse
from sklearn.feature_extraction.text import CountVectorizer

from registry.runtimes.text_features import TextTokenizer, char_ngrams, clean, join_fields, token_ngrams


@dataclass(frozen=True, slots=True)
class Quantised:
    """A table in signed bytes with one scale a row: a quarter of the size, and what training uses too."""

    values: npt.NDArray[np.int8]  # (rows, d)
    scales: npt.NDArray[np.float32]  # (rows,)

    @classmethod
    def of(cls, table: npt.NDArray[np.floating]) -> "Quantised":
        """Nearest values; the largest of a row is +-127 times its scale."""
        scales = (np.abs(table).max(axis=1) / 127).astype(np.float32)
        safe = np.where(scales > 0, scales, 1)[:, None]
        return cls(np.round(table / safe).astype(np.int8), scales)

    def table(self) -> npt.NDArray[np.float32]:
        """As 32-bit numbers again, exactly as the exported graph computes them."""
        return self.values.astype(np.float32) * self.scales[:, None]


@dataclass(frozen=True, slots=True)
class Corpus:
    """n texts. Matrices count token ids and the n-grams whose names stand in column order."""

    ids: sparse.csr_matrix  # (n, tokens of the embedding)
    tokens: sparse.csr_matrix  # (n, names)
    chars: sparse.csr_matrix  # (n, names)
    token_names: tuple[str, ...]
    char_names: tuple[str, ...]

    def blocks(self) -> tuple[sparse.csr_matrix, sparse.csr_matrix]:
        """Both n-gram blocks in the featuriser's order."""
        return self.tokens, self.chars

    def rows(self, chosen: npt.NDArray[np.int64]) -> "Corpus":
        """The same columns of some of the texts."""
        matrices = (self.ids[chosen], self.tokens[chosen], self.chars[chosen])
        return Corpus(*matrices, self.token_names, self.char_names)

    def like(self, texts: Sequence[str], tokenizer: TextTokenizer, width: int) -> "Corpus":
        """Other texts in the columns of this corpus; n-grams that it does not have are left out."""
        cleaned = [clean(text) for text in texts]
        ids = [tokenizer(text) for text in cleaned]
        tokens = _count_known((token_ngrams(one) for one in ids), self.token_names)
        chars = _count_known((char_ngrams(text) for text in cleaned), self.char_names)
        return Corpus(_count_ids(ids, width), tokens, chars, self.token_names, self.char_names)


def read_corpus(texts: Sequence[str], tokenizer: TextTokenizer, width: int, min_rows: int) -> Corpus:
    """Count what is in `texts`; n-grams in fewer than `min_rows` of them are left out."""
    cleaned = [clean(text) for text in texts]
    ids = [tokenizer(text) for text in cleaned]
    tokens, token_names = _count((token_ngrams(one) for one in ids), min_rows)
    chars, char_names = _count((char_ngrams(text) for text in cleaned), min_rows)
    return Corpus(_count_ids(ids, width), tokens, chars, token_names, char_names)


def read_texts(rows: pd.DataFrame, inputs: Sequence[str]) -> list[str]:
    """One text a row, joined as serving joins it."""
    columns = [rows[name].tolist() for name in inputs]
    return [join_fields(dict(zip(inputs, row, strict=True)), inputs) for row in zip(*columns, strict=True)]


def read_wordllama() -> tuple[Quantised, bytes]:
    """wordllama's embedding table (tokens, 256) and its tokenizer.json, both from its wheel."""
    import wordllama

    # It looks for its bundled tokenizer in the wrong folder, and then for a way to download it.
    folder = Path(wordllama.__file__).parent
    model = wordllama.WordLlama.load(cache_dir=folder, disable_download=True)
    model.tokenizer.no_padding()
    return Quantised.of(np.asarray(model.embedding)), model.tokenizer.to_str().encode()


def _count(ngrams: Iterable[list[str]], min_rows: int) -> tuple[sparse.csr_matrix, tuple[str, ...]]:
    counter = CountVectorizer(analyzer=_as_is, dtype=np.float32)
    counts = sparse.csr_matrix(counter.fit_transform(ngrams))
    kept = np.flatnonzero(counts.getnnz(axis=0) >= min_rows)
    return counts[:, kept], tuple(counter.get_feature_names_out()[kept].tolist())


def _count_known(ngrams: Iterable[list[str]], names: Sequence[str]) -> sparse.csr_matrix:
    if not names:
        return sparse.csr_matrix((len(list(ngrams)), 0), dtype=np.float32)
    counter = CountVectorizer(analyzer=_as_is, vocabulary=list(names), dtype=np.float32)
    return sparse.csr_matrix(counter.transform(ngrams))


def _as_is(ngrams: list[str]) -> list[str]:
    return ngrams


def _count_ids(ids: Sequence[Sequence[int]], width: int) -> sparse.csr_matrix:
    starts = np.cumsum([0, *(len(one) for one in ids)])
    flat = np.concatenate([np.asarray(one, np.int64) for one in ids])
    counts = sparse.csr_matrix((np.ones(len(flat), np.float32), flat, starts), shape=(len(ids), width))
    counts.sum_duplicates()
    return counts
