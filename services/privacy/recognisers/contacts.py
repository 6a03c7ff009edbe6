"""E-mail and crypto addresses: what has an `@`, and what only machines write."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256

from services.privacy.kinds import Span
from services.privacy.reading import Reading
from services.privacy.recognisers.presidio import PresidioPattern

_LOCAL, _DOMAIN = 64, 255  # RFC 5321, 4.5.3.1: longest parts of an address


@dataclass(frozen=True)
class Emails:
    """Presidio's recogniser on the stretch around each `@` that an address could fill."""

    inner: PresidioPattern

    def find(self, reading: Reading, found: Sequence[Span]) -> Iterator[Span]:
        text = reading.text
        done = 0
        at = text.find("@")
        while at >= 0:
            left = max(done, at - _LOCAL, *(text.rfind(space, done, at) + 1 for space in " \n\t"))
            right = min([at + _DOMAIN, len(text), *(p for s in " \n\t" if (p := text.find(s, at)) >= 0)])
            part = Reading(text[left:right])
            for span in self.inner.find(part, found):
                yield Span(left + span.start, left + span.end, span.kind, 0.9)
            done = right
            at = text.find("@", right)


_SPELT = re.compile(
    r"(?i)\b[\w.+\-]{1,64} ?[\[({] ?at ?[\])}] ?[\w\-]{1,63}"
    r"(?: ?(?:\.|[\[({] ?dot ?[\])}]| dot ) ?[\w\-]{2,63}){1,4}"
)

_SPACED = re.compile(
    r"\b[\w.+\-]{1,64}(?: ?@ ?|%40)[\w\-]{1,63}(?:\.[\w\-]{1,63}){0,3}\.[A-Za-z]{2,24}\b"
    r"|\b[\w.+\-]{1,64} AT [\w\-]{1,63}(?:(?: DOT |\.)[\w\-]{2,63}){1,4}"
)
_WRITTEN = (
    (("at)", "at]", "at}"), _SPELT),
    ((" @", "@ ", "%40", " at "), _SPACED),
)


class SpeltEmails:
    """Addresses with another at sign: `ines (at) example [dot] com`, `ines @ example.com`, `%40`."""

    def find(self, reading: Reading, found: Sequence[Span]) -> Iterator[Span]:
        del found
        text = reading.text
        for signs, pattern in _WRITTEN:
            if any(sign in reading.lower for sign in signs):
                for match in pattern.finditer(text):
                    yield Span(match.start(), match.end(), "email", 0.8)


_ADDRESS = re.compile(
    r"\b(?:0x[0-9a-fA-F]{40}|(?:ltc1|addr1|cosmos1)[02-9ac-hj-np-z]{25,100}"
    r"|4[0-9AB][1-9A-HJ-NP-Za-km-z]{93}|[1-9A-HJ-NP-Za-km-z]{25,44})\b"
)
_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


class Crypto:
    """Ethereum, Monero, bech32 and whatever carries a Base58Check sum (Tron, Dogecoin, Litecoin …)."""

    def find(self, reading: Reading, found: Sequence[Span]) -> Iterator[Span]:
        del found
        for match in _ADDRESS.finditer(reading.text):
            if len(match[0]) > 44 or match[0].startswith(("0x", "ltc1")) or _base58check(match[0]):
                yield Span(match.start(), match.end(), "crypto", 0.95)


def _base58check(text: str) -> bool:
    number = 0
    for char in text:
        number = number * 58 + _BASE58.index(char)
    raw = number.to_bytes((number.bit_length() + 7) // 8, "big")
    raw = b"\0" * (len(text) - len(text.lstrip("1"))) + raw
    return len(raw) == 25 and sha256(sha256(raw[:-4]).digest()).digest()[:4] == raw[-4:]
