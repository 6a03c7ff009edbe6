"""Text as a detector should read it, with a map back to the text as it was written.

Digits in full width, in circles, in other scripts or with marks on them, invisible and
direction-changing characters between digits, odd dashes and spaces: all of them read as plain text to
a person or a model, and none of them to a pattern. Detection sees the plain form; spans go back to the
original.
"""

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

_PLAIN = re.compile(r"[\t\n\r\x20-\x7e]*")

_STANDS_FOR = {
    **dict.fromkeys("\u2212\u2043\u30fc", "-"),  # minus, hyphen bullet, long-vowel mark: not in category Pd
    **dict.fromkeys("\u2018\u2019\u201b\u02bc\u00b4", "'"),
    **dict.fromkeys("\u00b7\u2022\u2219\u2027\u30fb\u3002", "."),
}

# Unicode DerivedCoreProperties.txt: Default_Ignorable_Code_Point, which is shown as nothing; and what is
# shown as a blank or as "something that is not there": empty braille, object and replacement characters.
_NOT_SHOWN = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f"
    "\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0000-\U000e0fff\u2800\ufffc\ufffd]"
)
_BLANK = re.compile(r"(?i)&(?:nbsp|#160|#xa0);")  # a space that cannot break, as HTML writes it
_LEFT_OUT = frozenset(("Cc", "Cf", "Cn", "Co", "Cs", "Mn", "Me"))  # Cn, Co: nobody knows how they look


@dataclass(frozen=True, slots=True)
class Normalised:
    """`text` is the plain form. `origin[i]` is where its character i came from in the original;
    None means that all stand where they stood. `marks[j]` says that original character j was left
    out and belongs to the one before it."""

    text: str
    origin: tuple[int, ...] | None = None
    marks: tuple[bool, ...] = ()

    def original_span(self, start: int, end: int) -> tuple[int, int]:
        """Where `text[start:end]`, which is not empty, came from, with the marks on its last character."""
        if self.origin is None:
            return start, end
        stop = self.origin[end - 1] + 1
        while stop < len(self.marks) and self.marks[stop]:
            stop += 1
        return self.origin[start], stop


def normalise(text: str) -> Normalised:
    """NFKC for each character; digits of all scripts as 0-9; marks and invisible characters left out."""
    blanks = list(_BLANK.finditer(text)) if "&" in text else []
    if not blanks and _PLAIN.fullmatch(text):
        return Normalised(text)
    plain = {char: _plain(char) for char in set(text)}
    pieces = [plain[char] for char in text]
    if not blanks and all(len(form) == 1 for form in plain.values()):
        return Normalised("".join(pieces))
    inside: set[int] = set()
    for blank in blanks:
        inside.update(range(blank.start() + 1, blank.end()))
        pieces[blank.start() : blank.end()] = [" ", *[""] * (blank.end() - blank.start() - 1)]
    origin = tuple(index for index, piece in enumerate(pieces) for _ in piece)
    marks = tuple(
        place in inside or (not plain[char] and unicodedata.category(char) in ("Mn", "Me"))
        for place, char in enumerate(text)
    )
    return Normalised("".join(pieces), origin, marks)


@lru_cache(maxsize=8192)
def _plain(char: str) -> str:
    if char in "\t\n\r":
        return char
    if char in _STANDS_FOR:
        return _STANDS_FOR[char]
    category = unicodedata.category(char)
    if category in _LEFT_OUT or _NOT_SHOWN.fullmatch(char):
        return ""
    if category == "Nd":
        return str(unicodedata.decimal(char))
    if category == "Pd":
        return "-"
    if category in ("Zs", "Zl", "Zp"):
        return " "
    form = unicodedata.normalize("NFKC", char)
    if form != char:
        return "".join(_plain(part) for part in form)
    return _counted(char) if category == "No" else char


def _counted(char: str) -> str:
    """A number in one character that NFKC leaves alone, such as a digit in a black circle: its value."""
    value = unicodedata.numeric(char, -1.0)
    return str(int(value)) if value in range(100) else char
