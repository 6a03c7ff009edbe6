"""Dates of birth: a date, in any usual way of writing, near a word about being born.

Any other date is left alone: a support desk lives on them.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence

from services.privacy.checksums import is_date
from services.privacy.kinds import Span
from services.privacy.reading import Reading, Words

WORDS = Words(
    """born, birth, dob$, d.o.b, bday, b-day, né le, née le, né en, née en, nee le, ne le, naissance, geboren,
    geboorte, geb., geburt, nací, naci, nato il, nata il, nato/a, nascit, nasci, nac., urodz, ur., född, fodd,
    födelse, født, fødsel, syntyn, syntym, doğum, dogum, narozen, szület, născut"""
)

_MONTHS = """
jan january januar janvier janv enero ene gennaio gen janeiro januari stycznia styczen sty tammikuuta ocak
feb february februar fevrier fevr febrero febbraio fevereiro fev februari lutego luty lut helmikuuta subat
mar march marz maerz mars marzo marco maart mrt marca marzec maaliskuuta mart mrz
apr april avril avr abril abr aprile kwietnia kwiecien kwi huhtikuuta nisan
may mai mayo maggio mag maio mei maj maja toukokuuta mayis
jun june juni juin junio giugno giu junho czerwca czerwiec cze kesakuuta haziran
jul july juli juillet juil julio luglio lug julho lipca lipiec lip heinakuuta temmuz
aug august aout agosto ago augustus augusti sierpnia sierpien sie elokuuta agustos
sep sept september septembre septiembre settembre set setembro wrzesnia wrzesien wrz syyskuuta eylul
oct october oktober okt octobre octubre ottobre ott outubro out pazdziernika paz lokakuuta ekim
nov november novembre noviembre novembro listopada lis marraskuuta kasim
dec december dezember dez decembre diciembre dic dicembre dezembro grudnia grudzien gru joulukuuta aralik
"""
_MONTH_OF = {name: month for month, names in enumerate(_MONTHS.split("\n")) for name in names.split()}

_YEAR_FIRST = re.compile(r"(?<![0-9])([0-9]{4})\s?[-./ ]\s?([0-9]{1,2})\s?[-./ ]\s?([0-9]{1,2})(?![0-9])")
_YEAR_LAST = re.compile(
    r"(?<![0-9])([0-9]{1,2})\s?[-./ ]\s?([0-9]{1,2})\s?[-./ ]\s?([0-9]{4}|[0-9]{2})(?![0-9])"
)
_COMPACT = re.compile(r"(?<![0-9])([0-9]{2})([0-9]{2})([0-9]{2})([0-9]{2})(?![0-9])")
_DAY_MONTH = re.compile(
    r"(?<![0-9])([0-9]{1,2})(?:st|nd|rd|th|er|[.ºª])?[ -]?(?:of |de |den )?([^\W\d_]{3,13})"
    r"\.?,?[ -]?(?:de |del |of )?'?([0-9]{4}|[0-9]{2})(?![0-9])",
    re.IGNORECASE,
)
_MONTH_DAY = re.compile(
    r"(?<![^\W\d_])([^\W\d_]{3,13})\.? ?([0-9]{1,2})(?:st|nd|rd|th)?,? ?([0-9]{4})(?![0-9])", re.IGNORECASE
)


class BirthDates:
    def find(self, reading: Reading, found: Sequence[Span]) -> Iterator[Span]:
        del found
        for place in reading.places(WORDS) if reading.groups else ():
            start, end = max(0, place - _BEFORE), min(len(reading.text), place + _AFTER)
            for match in _dates(reading.text[start:end]):
                yield Span(start + match.start(), start + match.end(), "birth_date", 0.85)


_BEFORE, _AFTER = 40, 80  # how far from the word a date may end: dates cut by that are not dates any more


def _dates(text: str) -> Iterator[re.Match[str]]:
    for match in _YEAR_FIRST.finditer(text):
        if _is_date(match[1], match[2], match[3]):
            yield match
    for match in _YEAR_LAST.finditer(text):
        if _is_date(match[3], match[2], match[1]) or _is_date(match[3], match[1], match[2]):
            yield match
    for match in _COMPACT.finditer(text):
        first, last = match[1] + match[2], match[3] + match[4]
        if _is_date(first, match[3], match[4]) or _is_date(last, match[2], match[1]):
            yield match
    for match in _DAY_MONTH.finditer(text):
        if _is_date(match[3], _month(match[2]), match[1]):
            yield match
    for match in _MONTH_DAY.finditer(text):
        if _is_date(match[3], _month(match[1]), match[2]):
            yield match


def _is_date(year: str, month: str, day: str) -> bool:
    """Is there such a day, in a year that somebody alive may be born in? The century of '87 is open."""
    if len(year) == 4 and not 1900 <= int(year) <= 2100:
        return False
    return is_date(int(year) if len(year) == 4 else 2000, int(month), int(day))


def _month(word: str) -> str:
    decomposed = unicodedata.normalize("NFD", word.lower())
    plain = "".join(char for char in decomposed if not unicodedata.combining(char))
    return str(_MONTH_OF.get(plain, 0))
