"""Phone numbers, as libphonenumber knows them.

Presidio's phone recogniser walks the text once for each of its regions: 9 ms of a 12 ms scan. Here a
row of digits is first held against the shapes that countries use, and only then parsed, for those
countries alone: 0.06 ms each. At most `MOST_PARSED` are parsed in one text; what has a shape beyond
that counts as a phone number unseen, so that a long text costs time but hides nothing.
"""

import re
from bisect import insort
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

from services.privacy.kinds import Span
from services.privacy.reading import Reading, Run, Words, disjoint, overlaps

MOST_PARSED = 32

NOUNS = Words(
    """phone, telephone, telefon, tel$, tél, teléfono, telefono, telemóv, telefone, mobil, móvil, movil,
    cell$, cellphone, cellular, celular, whatsapp, handy, portable, komórk, komork, fax, landline,
    numer telefonu,     contact number"""
)
"""Beside one of these any number of a phone number's length is one."""

WORDS = Words(
    """phone, telephone, telefon, tel$, tél, teléfono, mobil, móvil, movil, cell, call, ring, text, sms,
    whatsapp, reach, contact, handy, ruf, anruf, portable, appel, joindre, joignable, llam, llám, chiam, bel$,
    bellen, mobiel, ligue, ligar, celular, telem, komórk, komork, zadzwo, nummer ist, my number, fax,
    landline, dial"""
)
"""Near one of these a number that a country could give out is one, however it is grouped."""

_ZERO = "GB DE FR NL IE BE CH AT SE IT AU IN FI"
_SHAPES: tuple[tuple[re.Pattern[str], tuple[str, ...], frozenset[tuple[int, ...]]], ...] = tuple(
    (re.compile(shape), tuple(regions.split()), frozenset(groups))
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
_LENGTHS = frozenset(range(7, 16))
_NO_PHONE_AFTER = frozenset("$£€¥₹.,+")
_DATE = re.compile(r"[0-9]{4}[-./ ][0-9]{1,2}[-./ ][0-9]{1,2}|[0-9]{1,2}[-./ ][0-9]{1,2}[-./ ][0-9]{2,4}")

Questions = list[tuple[str, str | None]]
"""What to ask the library: number and region. Empty: no country writes phone numbers so."""

_SURELY = "surely"
"""In place of a number: the words around it say enough, nobody needs to be asked."""


@dataclass(frozen=True)
class Phones:
    """Either those written with their country (`+44 …`, `0044 …`), which are sure, or all others."""

    international: bool

    def find(self, reading: Reading, found: Sequence[Span]) -> Iterator[Span]:
        """Rows of digits that nothing before has claimed; longer rows first."""
        if self.international and "+" not in reading.text and "00" not in reading.text:
            return
        taken = disjoint([(span.start, span.end) for span in found])
        ask = _international if self.international else _national
        asked = [
            (run, questions)
            for run in reading.runs(_LENGTHS, most_groups=8)
            if not overlaps(run.start, run.end, taken) and (questions := ask(run, reading))
        ]
        parsed = 0
        for run, questions in sorted(asked, key=lambda pair: (-len(pair[0].digits), pair[0].start)):
            if overlaps(run.start, run.end, taken):
                continue
            said = reading.near(WORDS, run.start, run.end)
            for number, region in questions:
                parsed += 1
                if parsed > MOST_PARSED or _is_phone(number, region, said=said):
                    start = _opening(reading.text, run.start)
                    insort(taken, (start, run.end))
                    yield Span(start, run.end, "phone", 0.96 if self.international else 0.7)
                    break


def _international(run: Run, reading: Reading) -> Questions:
    text = reading.text
    if text[run.start - 1 : run.start] == "+":
        written = text[run.start : run.end].replace("(0)", "")
        return [("+" + "".join(char for char in written if char.isdigit()), None)]
    return [("+" + run.digits[2:], None)] if run.digits.startswith("00") else []


def _national(run: Run, reading: Reading) -> Questions:
    text, before = reading.text, reading.text[run.start - 1 : run.start]
    if len(run.groups) > 5 or before in _NO_PHONE_AFTER or _DATE.fullmatch(text, run.start, run.end):
        return []
    said = reading.near(WORDS, run.start, run.end)
    if len(run.digits) == 7:
        return [(_SURELY, None)] if said and run.groups == (3, 4) else []
    questions: Questions = []
    for shape, regions, groupings in _SHAPES:
        if shape.fullmatch(run.digits) and (said or run.digits[0] == "0" or run.groups in groupings):
            questions += [(run.digits, region) for region in regions]
    if 9 <= len(run.digits) <= 13 and reading.near(NOUNS, run.start, run.end, before=32, after=12):
        questions.append((_SURELY, None))
    return questions


def _opening(text: str, start: int) -> int:
    while start > 0 and text[start - 1] in "+(":
        start -= 1
    return start


def _is_phone(number: str, region: str | None, *, said: bool) -> bool:
    """Does the library know it as valid? Where the text says what it is, possible is enough."""
    import phonenumbers

    if number == _SURELY:
        return True
    try:
        parsed = phonenumbers.parse(number, region)
    except phonenumbers.NumberParseException:
        return False
    loose = said or region is None
    return bool(phonenumbers.is_possible_number(parsed) if loose else phonenumbers.is_valid_number(parsed))


@cache
def warm() -> None:
    """Load the library's tables for the regions asked about, so that no request pays for it."""
    for _, regions, _ in _SHAPES:
        for region in regions:
            _is_phone("0123456789", region, said=False)
