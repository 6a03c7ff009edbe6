"""Payment card numbers: an issuer's prefix, a length that the issuer gives out, and the Luhn check.

Presidio's own pattern wants groups of 3-5 digits with one space or dash between them. People write
them in other ways too, so this looks at rows of digits however they are grouped.
"""

from bisect import insort
from collections.abc import Iterator, Sequence

from services.privacy.checksums import luhn
from services.privacy.kinds import Span
from services.privacy.reading import Reading, Run, Words, overlaps

WORDS = Words(
    """card, carte, karte, kreditkarte, tarjeta, carta, cartão, kaart, karta, karty, kort, visa, maestro,
    pan$, amex, debit, credit"""
)

_LIKELY = (16, 15, 14, 19, 18, 17, 13, 12)


class Cards:
    def find(self, reading: Reading, found: Sequence[Span]) -> Iterator[Span]:
        """Where rows overlap, one that leaves no digit over wins, then the likelier length."""
        del found
        taken: list[tuple[int, int]] = []
        candidates = _candidates(reading)
        for _, run in sorted(candidates, key=lambda one: (not one[0], _LIKELY.index(len(one[1].digits)))):
            if not overlaps(run.start, run.end, taken):
                insort(taken, (run.start, run.end))
                yield Span(run.start, run.end, "card", 1.0)


def _candidates(reading: Reading) -> Iterator[tuple[bool, Run]]:
    for cluster in reading.wide_clusters:
        if len(cluster.digits) < 12:
            continue
        for first, (start, _) in enumerate(cluster.groups):
            begins = cluster.before[first]
            sure, said = _lengths(cluster.digits[begins : begins + 4])
            for length in sure + said:
                last = cluster.end_of(first, length)
                if last is None or not luhn(cluster.digits[begins : begins + length]):
                    continue
                if length in sure or reading.near(WORDS, start, cluster.groups[last - 1][1]):
                    yield length == len(cluster.digits), cluster.run(first, last)


def _lengths(prefix: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Lengths that issuers give out under a prefix (ISO/IEC 7812 ranges in use): those that are a sign by
    themselves, and those that need a word about cards near them."""
    one, two = prefix[:1], prefix[:2]
    if one == "4":
        return (16, 19), (13,)
    if two in ("34", "37"):
        return (15,), ()
    if two in ("30", "36", "38", "39"):
        return (14, 16), ()
    if two in ("51", "52", "53", "54", "55"):
        return (16,), ()
    if one == "2" and "2200" <= prefix <= "2720":
        return (16,), ()
    if two in ("35", "81", "82"):
        return (16, 17, 18, 19), ()
    if one in ("5", "6"):
        return (16, 17, 18, 19), (12, 13, 14, 15)
    return (), ()
