"""Account numbers that are no IBAN: sort code and account, routing number, or a number said to be one."""

import re
from collections.abc import Iterator, Sequence

from services.privacy.checksums import aba, iban
from services.privacy.kinds import Span
from services.privacy.reading import Reading, Words

_SAID = re.compile(r"[^0-9\n]{2,40}?([0-9][0-9 \-]{4,34}[0-9])(?![0-9])")
_SORT_CODE = re.compile(r"(?<![0-9\-])[0-9]{2}-[0-9]{2}-[0-9]{2}(?![0-9\-])")
_SORT_WORDS = Words("sort, s/c, branch")
_ACCOUNT_AFTER = re.compile(r"[^0-9]{1,24}([0-9]{8})(?![0-9])")
_ROUTING_WORDS = Words("routing, aba$, rtn$")


_SAID_WORDS = Words(
    """account, acct, a/c, acc$, compte$, cuenta$, conto$, conta$, konto$, kontonummer, konto-n, kontonr,
    rekening, konta$, rachunku, tilinumero, ccc$, rib$"""
)


class Accounts:
    def find(self, reading: Reading, found: Sequence[Span]) -> Iterator[Span]:
        del found
        text = reading.text
        for place in reading.places(_SAID_WORDS):
            said = _SAID.match(text, place)
            if said and 6 <= sum(map(str.isdigit, said[1])) <= 28 and not _DATE.fullmatch(said[1]):
                yield Span(said.start(1), said.end(1), "account", 0.8)
        for code in _SORT_CODE.finditer(text):
            account = _ACCOUNT_AFTER.match(text, code.end())
            if account or reading.near(_SORT_WORDS, *code.span()):
                yield Span(code.start(), code.end(), "account", 0.8)
            if account:
                yield Span(account.start(1), account.end(1), "account", 0.8)
        if reading.places(_SORT_WORDS):
            for run in reading.runs(_SORT, most_groups=3):
                if reading.near(_SORT_WORDS, run.start, run.end, after=0):
                    yield Span(run.start, run.end, "account", 0.7)
        if reading.places(_ROUTING_WORDS):
            for run in reading.runs(_ROUTING, most_groups=3):
                if reading.near(_ROUTING_WORDS, run.start, run.end) and aba(run.digits):
                    yield Span(run.start, run.end, "account", 0.9)
        for run in reading.runs(_POLISH, most_groups=8):
            if iban("PL" + run.digits):
                yield Span(run.start, run.end, "account", 0.95)


_SORT, _ROUTING, _POLISH = frozenset({6}), frozenset({9}), frozenset({26})
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}|[0-9]{1,2}-[0-9]{1,2}-[0-9]{2,4}")
