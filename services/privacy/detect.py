"""Finding personal data in one text: normalise, prefilter, recognise in a visible order, settle overlaps.

The prefilter is what makes this cheap: most messages hold no digit, `@` or link, and then only names
and passwords can be there, which a few dozen substring checks rule out.
"""

import logging
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import reduce
from pathlib import Path
from typing import Protocol

from services.privacy.kinds import BUILT_IN, KIND_SHAPE, UNNAMED, Span, detected_tags
from services.privacy.normalise import Normalised, normalise
from services.privacy.reading import Reading
from services.privacy.recognisers.base import Recogniser

logger = logging.getLogger(__name__)

_REVERSING = "\u202e"  # right-to-left override: what follows is shown backwards
_COLONS = re.compile(r"::|:[0-9a-fA-F]{1,4}:")
_ANY_DIGIT = re.compile(r"[0-9]")
_LONG_WORD = re.compile(r"[A-Za-z0-9]{25}")
_MAY_BE_MORE_THAN_A_COUNT = re.compile(r"[0-9](?:[^0-9\n]{0,3}[0-9]){3}")
"""Four digits close together: below that there is no id, phone number, IP address or date."""
_MANY = 8  # digits in a text: below that there is no card and no IBAN either, however its digits are spread

AHEAD = 80
"""What the built-in recognisers see of a text behind a place: the rest of what stands there, unless it goes
on without a plain word (then it is one), and 24 characters in which a word may say what a number is."""


class NamedEntities(Protocol):
    """The optional NER hook: a model that a team installed, asked for what patterns cannot see.

    It gets the plain text and returns spans in it; kinds are lower case, such as `name` or `location`.
    """

    def __call__(self, text: str) -> Iterable[Span]: ...


class Detector:
    """Scans texts. Safe to share between threads; holds no text. Built by `build_detector`.

    `ahead`: how many visible characters behind a place may change what is found there, however long the
    text grows; None where nobody knows.
    """

    def __init__(
        self,
        with_digits: Sequence[Recogniser],
        with_at: Sequence[Recogniser],
        with_long_words: Sequence[Recogniser],
        with_colons: Sequence[Recogniser],
        always: Sequence[Recogniser],
        kinds: Sequence[str] = BUILT_IN,
        ner: NamedEntities | None = None,
        ahead: int | None = None,
    ) -> None:
        self._with_digits, self._with_at = tuple(with_digits), tuple(with_at)
        self._with_long_words, self._with_colons = tuple(with_long_words), tuple(with_colons)
        self._always = tuple(always)
        self._ner = ner
        self.ahead = ahead
        self.kinds = tuple(kinds)

    @property
    def tags(self) -> frozenset[str]:
        """Every data tag that a scan can lead to, as far as the NER hook says its `kinds`."""
        return detected_tags(self.kinds)

    def scan(self, text: str) -> list[Span]:
        """Spans of personal data in `text`, in order, none overlapping, in its own offsets."""
        plain = normalise(text)
        spans = [_in_original(plain, span) for span in self._scan_plain(plain.text)]
        if _REVERSING in text:
            size = len(text)
            backwards = normalise(text[::-1])
            for span in self._scan_plain(backwards.text):
                start, end = backwards.original_span(span.start, span.end)
                spans.append(Span(size - end, size - start, span.kind, span.score))
        return settle(spans) if spans else spans

    def _scan_plain(self, text: str) -> list[Span]:
        reading = Reading(text)
        found: list[Span] = []
        for recogniser in self._for(text):
            found += recogniser.find(reading, found)
        if self._ner is not None:
            found += _ask(self._ner, text)
        return found

    def _for(self, text: str) -> Iterable[Recogniser]:
        """The prefilter."""
        if "@" in text:
            yield from self._with_at
        if _MAY_BE_MORE_THAN_A_COUNT.search(text) or sum(map(text.count, "0123456789")) >= _MANY:
            yield from self._with_digits
        if _ANY_DIGIT.search(text) and _LONG_WORD.search(text):
            yield from self._with_long_words
        if _COLONS.search(text):
            yield from self._with_colons
        yield from self._always


def _ask(ner: NamedEntities, text: str) -> list[Span]:
    """What the hook finds, as far as it makes sense. A hook that fails lets nothing through."""
    try:
        spans = [span for span in ner(text) if 0 <= span.start < span.end <= len(text)]
    except Exception as error:  # noqa: BLE001  — a team's own model may raise anything
        logger.error("the NER hook failed (%s): the whole text counts as found", type(error).__name__)
        return [Span(0, len(text), UNNAMED, 0.0)] if text else []
    return [replace(span, kind=span.kind if KIND_SHAPE.fullmatch(span.kind) else UNNAMED) for span in spans]


def settle(spans: Iterable[Span]) -> list[Span]:
    """Disjoint spans that cover all of `spans`. What overlaps becomes one span of the surest kind, so
    that no end of the less sure one stays readable."""
    return reduce(_join, sorted(spans), [])


def _join(done: list[Span], span: Span) -> list[Span]:
    if done and span.start < done[-1].end:
        last = done.pop()
        best = max(last, span, key=lambda s: (s.score, s.end - s.start))
        span = Span(last.start, max(last.end, span.end), best.kind, best.score)
    done.append(span)
    return done


def _in_original(plain: Normalised, span: Span) -> Span:
    start, end = plain.original_span(span.start, span.end)
    return Span(start, end, span.kind, span.score)


def build_detector(extra_yaml: Path | None = None, ner: NamedEntities | None = None) -> Detector:
    """A detector with every built-in recogniser, those of `extra_yaml`, and the NER hook if given.

    Takes seconds, as it imports presidio: once a process, at start. Raises `ConfigError` when the file
    is not what it should be.
    """
    from services.privacy.recognisers import (
        accounts,
        birth_dates,
        cards,
        contacts,
        custom,
        ibans,
        names,
        national_ids,
        phones,
        presidio,
        secrets,
    )

    presidio.quiet()
    phones.warm()
    extra = custom.load(extra_yaml) if extra_yaml else []
    ip, bitcoin = presidio.addresses()
    return Detector(
        with_at=(contacts.Emails(presidio.emails()),),
        with_digits=(
            cards.Cards(),
            ibans.Ibans(),
            ip,
            phones.Phones(international=True),
            *presidio.national_ids(),
            national_ids.build(),
            national_ids.Ppsn(),
            national_ids.Documents(),
            accounts.Accounts(),
            phones.Phones(international=False),  # last: it leaves alone what the others have claimed
        ),
        with_long_words=(bitcoin, contacts.Crypto()),
        with_colons=(ip,),
        always=(secrets.Secrets(), names.Names(), birth_dates.BirthDates(), contacts.SpeltEmails(), *extra),
        kinds=tuple(dict.fromkeys((*BUILT_IN, *(one.kind for one in extra), *getattr(ner, "kinds", ())))),
        ner=ner,
        ahead=None if extra or ner else AHEAD,
    )
