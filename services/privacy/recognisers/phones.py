"""Phone numbers, as libphonenumber knows them.

Presidio's phone recogniser walks the text once for each of its regions: 9 ms of a 12 ms scan. Here a
row of digits is first held against the shapes that countries use, and only then parsed, for those
countries alone: 0.06 ms each. At most `MOST_PARSED` are parsed in one text; what has a shape beyond
that counts as a phone number unseen, so that a long text costs time but hides nothing.
"""

import re
from bisect import insort
from collections.abc import Iterator, Sequence
from functools import cache

from services.privacy.kinds import Span
from services.privacy.reading import Reading, Run, Words, disjoint, overlaps

MOST_PARSED = 32

WORDS = Words(
    """phone, telephone, telefon, tel$, tél, teléfono, mobil, móvil, movil, cell, call, ring, text, sms,
    whatsapp, reach, contact, handy, ruf, anruf, portable, appel, joindre, joignable, llam, chiam, bel$,
    bellen, mobiel, ligue, ligar, celular, telem, komórk, komork, zadzwo, numer telefonu, nummer ist, my
    number, fax, dial"""
)

_ZERO = "GB DE FR NL IE BE CH AT SE IT AU IN FI"
_SHAPES: tuple[tuple[re.Pattern[str], str, frozenset[tuple[int, ...]]], ...] = tuple(
    (re.compile(shape), regions, frozenset(groups))
    for shape, regions, groups in (
        # shape of the digits, regions to ask in this order, groupings that are a sign by themselves
        (r"0[1-9][0-9]{7,10}", _ZERO, ()),
        (r"1?[2-9][0-9]{2}[2-9][0-9]{6}", "US CA", ((3, 3, 4), (1, 3, 3, 4))),
        (r"[5-9][0-9]{8}", "ES PL CZ", ((3, 3, 3), (3, 2, 2, 2), (3, 6), (2, 3, 2, 2))),
        (r"[29][0-9]{8}", "PT", ((3, 3, 3), (2, 3, 4), (2, 3, 2, 2))),
        (r"3[0-9]{8,9}", "IT", ((3, 3, 4), (3, 7), (3, 6), (3, 2, 2, 3), (3, 3, 3))),
        (r"[6-9][0-9]{9}", "IN", ((5, 5), (4, 3, 3), (3, 3, 4))),
        (r"[1-9]{2}9?[0-9]{8}", "BR", ((2, 5, 4), (2, 4, 4))),
        (r"[2-9][0-9]{7}", "DK NO", ((2, 2, 2, 2), (3, 2, 3))),
    )
)
_LENGTHS = frozenset(range(8, 16))


class Phones:
    def find(self, reading: Reading, found: Sequence[Span]) -> Iterator[Span]:
        """Rows of digits that nothing before has claimed; longer rows first."""
        taken = disjoint([(span.start, span.end) for span in found])
        asked = [
            (run, questions)
            for run in reading.runs(_LENGTHS, most_groups=8)
            if not overlaps(run.start, run.end, taken) and (questions := _questions(run, reading))
        ]
        parsed = 0
        for run, questions in sorted(asked, key=lambda pair: (-len(pair[0].digits), pair[0].start)):
            if overlaps(run.start, run.end, taken):
                continue
            for number, region in questions:
                parsed += 1
                if parsed > MOST_PARSED or _valid(number, region):
                    start = _opening(reading.text, run.start)
                    insort(taken, (start, run.end))
                    yield Span(start, run.end, "phone", 0.7)
                    break


def _questions(run: Run, reading: Reading) -> list[tuple[str, str | None]]:
    """What to ask the library of this row: number and region. Empty: no country writes phones so."""
    text = reading.text
    before = text[run.start - 1 : run.start]
    if before == "+" or run.digits.startswith("00"):
        digits = run.digits.removeprefix("00") if before != "+" else run.digits
        trunk = re.sub(r"\(0\)", "", text[run.start : run.end])
        inside = "".join(char for char in trunk if char.isdigit()) if before == "+" else digits
        return [(f"+{inside}", None)]
    if len(run.groups) > 5 or before in _MONEY or _DATE.fullmatch(text, run.start, run.end):
        return []
    questions: list[tuple[str, str | None]] = []
    said: bool | None = None
    for shape, regions, groupings in _SHAPES:
        if not shape.fullmatch(run.digits):
            continue
        sign = run.digits[0] == "0" or run.groups in groupings
        if not sign:
            said = reading.near(WORDS, run.start, run.end) if said is None else said
        if sign or said:
            questions += [(run.digits, region) for region in regions.split()]
    return questions


_MONEY = frozenset("$£€¥₹.,")
_DATE = re.compile(r"[0-9]{4}[-./ ][0-9]{1,2}[-./ ][0-9]{1,2}|[0-9]{1,2}[-./ ][0-9]{1,2}[-./ ][0-9]{2,4}")


def _opening(text: str, start: int) -> int:
    while start > 0 and text[start - 1] in "+(":
        start -= 1
    return start


def _valid(number: str, region: str | None) -> bool:
    import phonenumbers

    try:
        return bool(phonenumbers.is_valid_number(phonenumbers.parse(number, region)))
    except phonenumbers.NumberParseException:
        return False


@cache
def warm() -> None:
    """Load the library's tables for the regions asked about, so that no request pays for it."""
    for _, regions, _ in _SHAPES:
        for region in regions.split():
            _valid("0123456789", region)
