"""Names after an introduction: 'my name is Ines Calder', 'hier spricht Frau Dr. Calder'.

No pattern can tell a name from a word; an introduction can. After a plain one ('my name is') any case
is taken; after a weak one ('this is', 'I am') only a title or two capitalised words. Names elsewhere
in a text need the NER hook.
"""

import re
from collections.abc import Iterator, Sequence

from services.privacy.kinds import Span
from services.privacy.reading import Reading
from services.privacy.recognisers.name_words import LINKS, NO_NAME, STRONG, TITLES, WEAK

_WORD = re.compile(r"[^\W\d_](?:[^\W\d_]|['\-](?=[^\W\d_]))*\.?")
_SPACES = re.compile(r" +")
_GAP = re.compile(r"[\s,:\"'-]{0,3}")
_TITLED = re.compile(rf"\b(?:{'|'.join(title.capitalize() for title in sorted(TITLES))})\b")
_INNER_CAPITAL = re.compile(r"[\w,] +(?:[^\W\d_a-zI]|I\w\w)|\n *[^\W\d_a-z]|^\w{2,9}\. +[^\W\d_a-z]")
"""A capital that begins no sentence: without one there is no title with a name, and no pair of names."""

_MOST_WORDS = 6


class Names:
    def find(self, reading: Reading, found: Sequence[Span]) -> Iterator[Span]:
        del found
        text = reading.text
        for end in _ends(reading.lower, STRONG):
            yield from _name(text, end, 0.8, strong=True)
        if not _INNER_CAPITAL.search(text):
            return
        for end in _ends(reading.lower, WEAK):
            yield from _name(text, end, 0.6)
        for titled in _TITLED.finditer(text):
            yield from _name(text, titled.start(), 0.7)


def _ends(lower: str, openers: tuple[str, ...]) -> Iterator[int]:
    """Where what follows an opener begins."""
    for opener in [opener for opener in openers if opener in lower]:
        at = lower.find(opener)
        while at >= 0:
            end = at + len(opener)
            if not (at and lower[at - 1].isalpha()) and (gap := _GAP.match(lower, end)) and gap.end() > end:
                yield gap.end()
            at = lower.find(opener, end)


def _name(text: str, start: int, score: float, *, strong: bool = False) -> Iterator[Span]:
    """The name that begins at `start`: `strong` takes any word, else it has a title or two capitals."""
    titled, names, small = False, 0, False
    place, end = start, start
    for _ in range(_MOST_WORDS):
        word = _WORD.match(text, place)
        if word is None:
            break
        bare = word[0].rstrip(".")
        folded = bare.casefold()
        if folded in TITLES and not names:
            titled = True
        elif names and folded in LINKS:
            pass
        elif folded in NO_NAME:
            break
        elif bare[0].isupper() or (strong and (small or not names) and folded not in LINKS):
            small = small or not bare[0].isupper()
            names += 1
            end = word.end() if len(bare) == 1 else word.start() + len(bare)
        elif folded not in LINKS:
            break
        if word[0].endswith(".") and len(bare) > 1 and folded not in TITLES:
            break
        gap = _SPACES.match(text, word.end())
        if gap is None:
            break
        place = gap.end()
    if names >= (1 if strong or titled else 2):
        yield Span(start, end, "name", score)
