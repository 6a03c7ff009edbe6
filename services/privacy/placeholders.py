"""The shape of placeholders, and numbers for them that no text of the same request already uses."""

import re
from collections import Counter
from collections.abc import Iterable

PLACEHOLDER = re.compile(r"<[A-Z]+(?:_[A-Z]+)*_[1-9][0-9]*>")
"""Begins and ends with what it cannot contain, so text around one can never grow into another."""

_TYPED = re.compile(r"<\s*([A-Z_]{1,40})_([0-9]{1,9})\s*>", re.IGNORECASE)


class Numbering:
    """Gives `<KIND_n>` to originals: the same original gets the same placeholder.

    A placeholder that a user typed must never come back as somebody's data, nor be mistaken for ours
    by a model. So the numbers of all placeholders in `texts` (every text of the request, as written
    and as normalised) are left out, in whatever case they are written: what was typed stays text.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        self._taken = {
            (kind.upper(), int(number))
            for text in texts
            if "<" in text
            for kind, number in _TYPED.findall(text)
        }
        self._last: Counter[str] = Counter()
        self._given: dict[tuple[str, str], str] = {}

    def placeholder(self, kind: str, original: str) -> str:
        """The placeholder for this original; kind and original together name it."""
        known = self._given.get((kind, original))
        if known is not None:
            return known
        label = kind.upper()
        number = self._last[label] + 1
        while (label, number) in self._taken:
            number += 1
        self._last[label] = number
        return self._given.setdefault((kind, original), f"<{label}_{number}>")

    def originals(self) -> dict[str, str]:
        """Placeholder -> original, for the vault."""
        return {placeholder: original for (_, original), placeholder in self._given.items()}
