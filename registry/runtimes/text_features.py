"""Text to sparse features: the one reading of a text that training and serving share.

Features of a text are its token ids (for the embedding) and two blocks of n-grams: pairs and single
tokens, and runs of 3 to 5 characters. Each block is weighted by TF-IDF with sublinear counts and has
length 1 (Salton and Buckley 1988, "Term-weighting approaches in automatic text retrieval").
"""

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from tokenizers import Tokenizer

CHAR_SIZES = (3, 4, 5)
MAX_CHARS = 2000
_SPACES = re.compile(r"\s+")
_PLACEHOLDER = re.compile(r"<([A-Z]+(?:_[A-Z]+)*)_\d+>")


def clean(text: str) -> str:
    """What is read of a text: placeholders without their number, single spaces, at most 2,000 characters.

    Serving sees redacted text (<CARD_1>) where training saw none; a plain word stands for either.
    """
    named = _PLACEHOLDER.sub(lambda found: found[1].replace("_", " ").lower(), text[: 2 * MAX_CHARS])
    return _SPACES.sub(" ", named).strip()[:MAX_CHARS]


def join_fields(fields: Mapping[str, object], names: Sequence[str]) -> str:
    """One text from all string inputs, in the order of the package's `inputs`."""
    return "\n".join(str(value) for name in names if isinstance(value := fields.get(name), str))


def ngrams(text: str, tokens: Sequence[int]) -> tuple[Counter[str], Counter[str]]:
    """Counts of token n-grams and of character n-grams, each under a name of its own."""
    return Counter(_token_ngrams(tokens)), Counter(_char_ngrams(text))


def _token_ngrams(tokens: Sequence[int]) -> Iterator[str]:
    words = [str(t) for t in tokens]
    yield from words
    for left, right in pairwise(words):
        yield f"{left} {right}"


def _char_ngrams(text: str) -> Iterator[str]:
    padded = f" {text.lower()} "
    for size in CHAR_SIZES:
        for start in range(len(padded) - size + 1):
            yield padded[start : start + size]


@dataclass(frozen=True, slots=True)
class Block:
    """One block of n-grams: name -> (column, inverse document frequency)."""

    columns: Mapping[str, int]
    idf: Sequence[float]
    offset: int  # of its first column among all

    def weigh(self, counts: Counter[str]) -> tuple[list[int], list[float]]:
        """Columns and weights of the n-grams that were seen in training; the weights have length 1."""
        found: list[int] = []
        weights: list[float] = []
        for name, count in counts.items():
            column = self.columns.get(name)
            if column is not None:
                found.append(column + self.offset)
                weights.append((1.0 + math.log(count)) * self.idf[column])
        length = math.sqrt(sum(w * w for w in weights)) or 1.0
        return found, [w / length for w in weights]


@dataclass(frozen=True, slots=True)
class Features:
    """What the network gets of one text. `tokens` is never empty: an empty text is the token 0."""

    tokens: np.ndarray  # (t,) int64
    columns: np.ndarray  # (m,) int64
    weights: np.ndarray  # (m,) float32


class Featuriser:
    """Text -> `Features`. Holds the tokenizer and the two vocabularies."""

    def __init__(self, tokenizer: bytes, token_block: Block, char_block: Block) -> None:
        self._tokenizer = Tokenizer.from_buffer(tokenizer)
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._blocks = (token_block, char_block)

    def tokens(self, text: str) -> list[int]:
        """Token ids of a cleaned text."""
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    def __call__(self, raw: str) -> Features:
        text = clean(raw)
        tokens = self.tokens(text)
        columns: list[int] = []
        weights: list[float] = []
        for block, counts in zip(self._blocks, ngrams(text, tokens), strict=True):
            found, weighed = block.weigh(counts)
            columns += found
            weights += weighed
        return Features(
            np.array(tokens or [0], np.int64),
            np.array(columns or [0], np.int64),
            np.array(weights or [0.0], np.float32),
        )
