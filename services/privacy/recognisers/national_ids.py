"""National, tax and social security numbers made of digits alone.

Rows of digits are found however they are grouped; whether one is an id is for its check digits, most
of them presidio's. A check that one in ten random numbers passes is not enough: such a number must
also be grouped as its state groups it, or have a word about ids near it.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from services.privacy import checksums
from services.privacy.kinds import Span
from services.privacy.reading import Reading, Run, Words, disjoint, overlaps
from services.privacy.recognisers.phones import WORDS as PHONE_WORDS
from services.privacy.recognisers.presidio import ID_WORDS

Check = Callable[[str], bool]


@dataclass(frozen=True)
class NumericId:
    """Digits, the check, and the groupings that are a sign by themselves; (11,) is a row without gaps."""

    length: int
    check: Check
    grouped: frozenset[tuple[int, ...]] = frozenset()


class NationalIds:
    """Made by `build`, since presidio's checks are imported only where a detector is built."""

    def __init__(self, ids: Sequence[NumericId]) -> None:
        self._by_length: dict[int, list[NumericId]] = {}
        for kind in ids:
            self._by_length.setdefault(kind.length, []).append(kind)
        self._lengths = frozenset(self._by_length)

    def find(self, reading: Reading, found: Sequence[Span]) -> Iterator[Span]:
        taken = disjoint([(span.start, span.end) for span in found])
        for run in reading.runs(self._lengths, most_groups=7):
            if len(run.groups) > 5 and len(run.digits) != 15:
                continue  # only the French write theirs in seven groups
            ids = self._by_length[len(run.digits)]
            if not overlaps(run.start, run.end, taken) and any(_is(kind, run, reading) for kind in ids):
                yield Span(run.start, run.end, "national_id", 0.95)


def _is(kind: NumericId, run: Run, reading: Reading) -> bool:
    if not kind.check(run.digits):
        return False
    if reading.near(ID_WORDS, run.start, run.end):
        return True
    return run.groups in kind.grouped and not reading.near(PHONE_WORDS, run.start, run.end)


class Ppsn:
    """Irish PPS numbers, which presidio does not know: seven digits, a check letter, perhaps one more."""

    def find(self, reading: Reading, found: Sequence[Span]) -> Iterator[Span]:
        del found
        for match in _PPSN.finditer(reading.text):
            said = " " not in match[0] or reading.near(ID_WORDS, *match.span())
            if said and checksums.ppsn(match[0].replace(" ", "").upper()):
                yield Span(match.start(), match.end(), "national_id", 0.7)


class Documents:
    """Passports, driving licences and identity cards: no check, so only where the text says so."""

    _WORDS = Words(
        """passport, passeport, reisepass, pasaporte, passaporto, passaporte, paspoort, paszport, passnummer,
        driving licen, driver's licen, drivers licen, driver licen, permis de conduire, führerschein,
        fuhrerschein, rijbewijs, carta d'identit, carte d'identit, identity card, personalausweis, dowód
        osobist, dowod osobist, licencia de conducir, patente di guida, id card, ausweisnummer"""
    )

    def find(self, reading: Reading, found: Sequence[Span]) -> Iterator[Span]:
        del found
        for place in reading.places(self._WORDS):
            for word in _TOKEN.finditer(reading.text, place, min(len(reading.text), place + 60)):
                if sum(map(str.isdigit, word[0])) >= 4:
                    yield Span(word.start(), word.end(), "national_id", 0.75)
                    break


_PPSN = re.compile(r"(?i)\b[0-9]{7} ?[A-W][A-IW]?\b")
_TOKEN = re.compile(r"\b(?:[A-Z]{1,3}[ -]?|[a-z]{1,3})?[0-9][A-Za-z0-9]{4,14}\b")


def build() -> NationalIds:
    """Every numeric id that is looked for."""
    from presidio_analyzer import predefined_recognizers as presidio

    def valid(recogniser: type) -> Check:
        check = recogniser().validate_result
        return lambda digits: check(digits) is True

    def canadian_sin(digits: str) -> bool:
        return digits[0] not in "08" and checksums.luhn(digits)

    pesel_check = valid(presidio.PlPeselRecognizer)

    def pesel(digits: str) -> bool:
        month = int(digits[2:4]) % 20
        return 1 <= month <= 12 and 1 <= int(digits[4:6]) <= 31 and pesel_check(digits)

    swedish = valid(presidio.SePersonnummerRecognizer)
    return NationalIds(
        (
            NumericId(9, checksums.ssn, frozenset({(3, 2, 4)})),
            NumericId(9, checksums.itin, frozenset({(3, 2, 4)})),
            NumericId(9, canadian_sin, frozenset({(3, 3, 3)})),
            NumericId(9, valid(presidio.AuTfnRecognizer)),
            NumericId(9, checksums.bsn),
            NumericId(9, checksums.nif_pt),
            NumericId(10, swedish, frozenset({(6, 4)})),
            NumericId(10, checksums.cpr, frozenset({(6, 4)})),
            NumericId(10, checksums.rodne_cislo, frozenset({(6, 4)})),
            NumericId(10, valid(presidio.NhsRecognizer)),
            NumericId(10, valid(presidio.AuMedicareRecognizer)),
            NumericId(11, pesel, frozenset({(11,)})),
            NumericId(11, valid(presidio.DeTaxIdRecognizer), frozenset({(2, 3, 3, 3)})),
            NumericId(11, valid(presidio.TrNationalIdRecognizer), frozenset({(11,)})),
            NumericId(11, checksums.rijksregister, frozenset({(11,), (6, 3, 2), (2, 2, 2, 3, 2)})),
            NumericId(11, checksums.fodselsnummer, frozenset({(11,), (6, 5)})),
            NumericId(11, checksums.cpf, frozenset({(11,), (3, 3, 3, 2), (9, 2)})),
            NumericId(11, checksums.isikukood),
            NumericId(12, swedish, frozenset({(12,), (8, 4)})),
            NumericId(12, valid(presidio.InAadhaarRecognizer), frozenset({(4, 4, 4)})),
            NumericId(13, valid(presidio.ThTninRecognizer), frozenset({(1, 4, 5, 2, 1)})),
            NumericId(13, valid(presidio.ZaIdNumberRecognizer), frozenset({(13,), (6, 4, 2, 1), (6, 4, 3)})),
            NumericId(13, valid(presidio.KrRrnRecognizer), frozenset({(6, 7)})),
            NumericId(13, checksums.ahv, frozenset({(13,), (3, 4, 4, 2)})),
            NumericId(13, checksums.cnp),
            NumericId(15, checksums.nir, frozenset({(15,), (13, 2), (1, 2, 2, 2, 3, 3, 2)})),
        )
    )
