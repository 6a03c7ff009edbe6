"""Text to sparse features: the one reading of a text that training and serving share.

Features of a text are its token ids (for the embedding) and two blocks of n-grams: pairs and single
tokens, and runs of 3 to 5 characters. Each block is weighted by TF-IDF with sublinear counts and has
length 1 (Salton and Buckley 1988, "Term-weighting approaches in automatic text retrieval").
"""

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from tokenizers import Tokenizer

from registry.runtimes.packed_runs import PackedRuns

CHAR_SIZES = (3, 4, 5)
MAX_CHARS = 2000
_SPACES = re.compile(r"\s+")
_PLACEHOLDER = re.compile(r"<[A-Z][A-Z0-9_]*_\d+>")


def clean(text: str) -> str:
    """What is read of a text: compatible characters made one (NFKC), no placeholders, single spaces, at
    most 2,000 characters.

    Serving sees <CARD_1> where training may have seen nothing of the kind. Of the ways tried to read it,
    leaving it out changes the fewest answers (ADR 0003).
    """
    text = text[: 2 * MAX_CHARS]
    if not text.isascii():
        # Half of a surrogate pair is no character, and the tokenizer refuses it.
        text = unicodedata.normalize("NFKC", text.encode("utf-8", "replace").decode("utf-8"))
    return _SPACES.sub(" ", _PLACEHOLDER.sub(" ", text)).strip()[:MAX_CHARS]


def join_fields(fields: Mapping[str, object], names: Sequence[str]) -> str:
    """One text from all string inputs, in the order of the package's `inputs`."""
    return "\n".join(str(value) for name in names if isinstance(value := fields.get(name), str))


def token_ngrams(tokens: Sequence[int]) -> list[str]:
    """Single tokens and pairs of neighbours, by their ids."""
    words = [str(t) for t in tokens]
    return words + [f"{left} {right}" for left, right in pairwise(words)]


def char_ngrams(text: str) -> list[str]:
    """Runs of 3 to 5 characters of the lower-cased text with a space at either end."""
    padded = padded_lower(text)
    return [padded[start : start + size] for size in CHAR_SIZES for start in range(len(padded) - size + 1)]


def padded_lower(text: str) -> str:
    """What character n-grams are cut from."""
    return f" {text.lower()} "


@dataclass(frozen=True, slots=True)
class Block:
    """One block of n-grams: name -> column, and the inverse document frequency of each column."""

    columns: Mapping[str, int]
    idf: np.ndarray  # (columns,) float64
    offset: int  # of its first column among those of all blocks

    def weigh(self, ngrams: Iterable[str]) -> tuple[np.ndarray, np.ndarray]:
        """Columns and weights of the n-grams that were seen in training; the weights have length 1."""
        counts = Counter(map(self.columns.get, ngrams))
        counts.pop(None, None)
        found = np.fromiter(counts, np.int64, len(counts))
        return self.weigh_counted(found, np.fromiter(counts.values(), np.float64, len(counts)))

    def weigh_counted(self, found: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The same, of columns that were counted already; each stands once in `found`."""
        weights = (1.0 + np.log(counts)) * self.idf[found]
        return found + self.offset, weights / (math.sqrt(weights @ weights) or 1.0)


@dataclass(frozen=True, slots=True)
class Features:
    """What the graph gets of one text. No array is empty: nothing known is column 0 with weight 0."""

    tokens: np.ndarray  # (t,) int64
    columns: np.ndarray  # (m,) int64
    weights: np.ndarray  # (m,) float32


class TextTokenizer:
    """Text -> token ids, by a Hugging Face tokenizer.json. Knows no unseen character: bytes stand in."""

    def __init__(self, tokenizer: bytes) -> None:
        self._tokenizer = Tokenizer.from_buffer(tokenizer)
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()

    def __call__(self, cleaned: str) -> list[int]:
        """Ids of a cleaned text; a text of nothing is the token 0 (unknown)."""
        ids: list[int] = self._tokenizer.encode(cleaned, add_special_tokens=False).ids
        return ids or [0]


class Featuriser:
    """Text -> `Features`. Holds the tokenizer and the two vocabularies."""

    def __init__(self, tokenizer: TextTokenizer, token_block: Block, char_block: Block) -> None:
        self._tokenizer = tokenizer
        self._tokens = token_block
        self._chars = char_block
        self._runs = PackedRuns(char_block.columns, CHAR_SIZES)

    def __call__(self, raw: str) -> Features:
        text = clean(raw)
        tokens = self._tokenizer(text)
        columns, weights = self._tokens.weigh(token_ngrams(tokens))
        more_columns, more_weights = self._weigh_chars(text)
        if not len(columns) + len(more_columns):
            return Features(np.array(tokens, np.int64), np.zeros(1, np.int64), np.zeros(1, np.float32))
        return Features(
            np.array(tokens, np.int64),
            np.concatenate((columns, more_columns)),
            np.concatenate((weights, more_weights)).astype(np.float32),
        )

    def _weigh_chars(self, text: str) -> tuple[np.ndarray, np.ndarray]:
        if text.isascii():
            return self._chars.weigh_counted(*self._runs.count(padded_lower(text)))
        return self._chars.weigh(char_ngrams(text))
