"""Presidio's recognisers, called directly: no analyzer engine, no NLP pipeline, no language model.

Importing presidio takes seconds, as its package imports spaCy whether it is used or not, so it is
imported where a detector is built. Two of its habits are changed here: its e-mail recogniser would
fetch the public suffix list from the internet at the first e-mail, and its log names what it saw.
"""

import logging
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from services.privacy.kinds import Span
from services.privacy.reading import Reading, Words

logger = logging.getLogger(__name__)

ID_WORDS = Words(
    """ssn, social security, itin$, tax, national, nino$, nhs, identity, identif, identit, id$, i.d., bsn,
    burgerservice, sofinummer, nif$, nie$, dni$, contribuinte, steuer, idnr, tin$, pesel, aadhaar, aadhar,
    uidai, pan$, sin$, social insurance, tfn, medicare, cpf, personn, cpr, fødsels, fodsels, rijksregister,
    registre national, niss, sécurité sociale, securite sociale, sécu, insee, codice fiscale, henkilötunnus,
    hetu, ahv, avs, pps, kimlik, rrn, sozialversicherung, rentenversicherung, versicherungsnummer, nir$,
    svnr"""
)


@dataclass(frozen=True)
class PresidioPattern:
    """One presidio recogniser on the windows around digits.

    What scores `sure` or more is taken as it is; anything else only with a word about ids near it.
    A recogniser that fails must not let data through: its window then counts as found.
    """

    inner: Any  # presidio ships no usable types
    kind: str
    gate: re.Pattern[str]  # a window without this cannot hold one; much cheaper than asking presidio
    sure: float = 0.5
    worth: float = 0.5  # the least score of a find: what has proven to be itself outweighs what may be

    def find(self, reading: Reading, found: Sequence[Span]) -> Iterator[Span]:
        del found
        if not self.gate.search(reading.text):
            return
        for start, end in reading.windows or [(0, len(reading.text))]:
            window = reading.text[start:end]
            if self.gate.search(window):
                yield from self._in_window(window, start, reading)

    def _in_window(self, window: str, offset: int, reading: Reading) -> Iterator[Span]:
        try:
            results = self.inner.analyze(window, self.inner.supported_entities)
        except Exception:  # noqa: BLE001  — third-party code may raise anything; none of it may let data through
            logger.error("recogniser %s failed: its text counts as %s", self.inner.name, self.kind)
            yield Span(offset, offset + len(window), self.kind, 0.5)
            return
        for result in results:
            start, end = offset + result.start, offset + result.end
            if result.score >= self.sure or reading.near(ID_WORDS, start, end):
                yield Span(start, end, self.kind, max(float(result.score), self.worth))


def national_ids() -> tuple[PresidioPattern, ...]:
    """Ids with letters in them. Those of digits alone are in `national_ids.py`, with presidio's checks."""
    from presidio_analyzer import Pattern
    from presidio_analyzer import predefined_recognizers as presidio

    gaps = [("-", ""), (" ", ""), (".", "")]
    nino = r"\b[A-Z]{2}[ -]?[0-9]{2}[ -]?[0-9]{2}[ -]?[0-9]{2}[ -]?[A-D]\b"  # QQ is a usual example
    nif = r"\b[0-9]{1,2}\.?[0-9]{3}\.?[0-9]{3}[ -]?[A-Z]\b"
    nie = r"\b[XYZ][ -]?[0-9]\.?[0-9]{3}\.?[0-9]{3}[ -]?[A-Z]\b"
    # Presidio's own weak PAN pattern takes 47 ms on 2,000 characters of `1 1 1 …`; the strict one does not.
    pan = r"\b[A-Z]{3}[ABCFGHLJPT][A-Z][0-9]{4}[A-Z]\b"
    gated = (
        (
            presidio.UkNinoRecognizer(patterns=[Pattern("NINO", nino, 0.6)]),
            r"[a-z]{2}[ -]?[0-9]{2}[ -]?[0-9]{2}",
        ),
        (presidio.UkDrivingLicenceRecognizer(), r"[a-z9]{5}[0-9]{6}"),
        (
            presidio.EsNifRecognizer(patterns=[Pattern("NIF", nif, 0.5)], replacement_pairs=gaps),
            r"[0-9]{3}\.?[0-9]{3}[ -]?[a-z]",
        ),
        (
            presidio.EsNieRecognizer(patterns=[Pattern("NIE", nie, 0.5)], replacement_pairs=gaps),
            r"[xyz][ -]?[0-9]\.?[0-9]{3}",
        ),
        (presidio.ItFiscalCodeRecognizer(), r"[a-z]{6}[0-9lmnp-v]{2}[a-z]"),
        (presidio.DeSocialSecurityRecognizer(), r"[0-9]{8}[a-z][0-9]{3}"),
        (presidio.FiPersonalIdentityCodeRecognizer(), r"[0-9]{6}[-+a-fu-y][0-9]{3}"),
        (presidio.SgFinRecognizer(), r"[a-z][0-9]{7}[a-z]"),
        (presidio.InPanRecognizer(patterns=[Pattern("PAN", pan, 0.6)]), r"[a-z]{5}[0-9]{4}[a-z]"),
    )
    return tuple(PresidioPattern(one, "national_id", re.compile(gate, re.IGNORECASE)) for one, gate in gated)


_IP_GATE = r"[0-9]\.[0-9]{1,3}\.[0-9]|:[0-9a-fA-F]{0,4}:"


def addresses() -> tuple[PresidioPattern, PresidioPattern]:
    """IP addresses and bitcoin addresses; `contacts.py` knows more of the latter."""
    from presidio_analyzer import predefined_recognizers as presidio

    return (
        PresidioPattern(presidio.IpRecognizer(), "ip", re.compile(_IP_GATE), worth=0.97),
        PresidioPattern(presidio.CryptoRecognizer(), "crypto", re.compile(r"(?:bc1|[13])[a-zA-Z0-9]{25}")),
    )


def emails() -> PresidioPattern:
    """Presidio's e-mail recogniser without its look-up in the public suffix list."""
    from presidio_analyzer import predefined_recognizers as presidio

    class OfflineEmailRecognizer(presidio.EmailRecognizer):  # type: ignore[misc]  # presidio ships no usable types
        def validate_result(self, pattern_text: str) -> None:
            return None

    return PresidioPattern(OfflineEmailRecognizer(), "email", re.compile(r"@\w"))


def quiet() -> None:
    """Some of presidio's recognisers log the text they saw when a check fails: no sink may hold that."""
    logging.getLogger("presidio-analyzer").setLevel(logging.CRITICAL + 1)
