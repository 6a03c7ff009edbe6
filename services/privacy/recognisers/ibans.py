"""International bank account numbers: a country, its length, and the remainder by 97.

Presidio's own pattern wants capitals and groups of four; French and many typed ones have neither.
"""

import re
from collections.abc import Iterator, Sequence

from services.privacy.checksums import iban
from services.privacy.kinds import Span
from services.privacy.reading import Reading, phrases

# ISO 13616 registry: length of an IBAN by country.
LENGTHS = {
    15: "NO", 16: "BE", 18: "DK FI FK FO GL NL SD", 19: "MK SI", 20: "AT BA EE KZ LT LU MN XK",
    21: "CH CR HR LI LV", 22: "BG BH DE GB GE IE ME RS VA", 23: "AE GI IL IQ OM SO TL",
    24: "AD CZ ES MD PK RO SA SE SK TN VG", 25: "LY PT ST", 26: "IS TR", 27: "BI DJ FR GR IT MC MR SM",
    28: "AL AZ BY CY DO GT HU LB NI PL SV", 29: "BR EG PS QA UA", 30: "JO KW MU YE",
    31: "MT SC", 32: "LC", 33: "RU",
}  # fmt: skip
LENGTH_OF = {country: length for length, countries in LENGTHS.items() for country in countries.split()}

ALL_DIGITS = frozenset(
    phrases("AT, BA, BE, CZ, DE, DK, EE, ES, FI, HR, HU, IL, IS, LT, ME, NO, PL, PT, RS, SE, SI, SK, TN, XK")
)
BANK_IN_LETTERS = frozenset(phrases("AZ, BG, BH, DO, GB, GI, GT, IE, JO, KW, LV, MT, NL, PK, PS, QA, RO, VG"))

_GAP = 6  # different separators one after the other
_WIDEST = 32  # all separators one after the other: more of the same count once
_BEGINNING = re.compile(r"([A-Za-z])[\W_]{0,32}([A-Za-z])[\W_]{0,32}[0-9][\W_]{0,32}[0-9]")


class Ibans:
    def find(self, reading: Reading, found: Sequence[Span]) -> Iterator[Span]:
        del found
        text = reading.text
        done = 0
        for start_of in _BEGINNING.finditer(text):
            start = start_of.start()
            length = LENGTH_OF.get((start_of[1] + start_of[2]).upper())
            if start < done or length is None:
                continue
            end = _collect(text, start, length)
            if end is not None:
                yield Span(start, end, "iban", 1.0)
                done = end


def _collect(text: str, start: int, length: int) -> int | None:
    """The end of `length` letters and digits from `start`, only separators between them, if they check."""
    taken: list[str] = []
    gap = wide = 0
    for place in range(start, len(text)):
        char = text[place]
        if char.isalnum() and char.isascii():
            taken.append(char)
            gap = wide = 0
            if len(taken) == length:
                return place + 1 if _is_iban("".join(taken).upper()) else None
        else:
            gap += char != text[place - 1]
            wide += 1
            if gap > _GAP or wide > _WIDEST or char.isalnum():
                return None
    return None


def _is_iban(text: str) -> bool:
    country, account = text[:2], text[4:]
    if country in ALL_DIGITS and not account.isdigit():
        return False
    if country in BANK_IN_LETTERS and not account[:4].isalpha():
        return False
    return iban(text)
