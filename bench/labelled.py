"""Messages with labelled personal data, made from templates in several locales, by seed.

No third-party text. `make(seed, per_cell)` gives `per_cell` messages for each kind and locale.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random

from bench import made_numbers as made
from bench.labelled_texts import FILLERS, LOCALES, TEMPLATES
from bench.labelled_values import VALUES

ZERO_WIDTH = "\u200b\u200c\u200d\u2060\ufeff\u00ad\u200e\u200f"


@dataclass(frozen=True, slots=True)
class Labelled:
    """One message; `text[start:end]` is of `kind`. `trick`: written so that patterns would miss it."""

    text: str
    start: int
    end: int
    kind: str
    locale: str
    trick: bool = False


def make(seed: int, per_cell: int) -> Iterator[Labelled]:
    """Messages for every kind and locale. The same seed gives the same messages."""
    for kind, by_locale in sorted(VALUES.items()):
        for locale in LOCALES:
            rng = Random(f"{seed} {kind} {locale}")  # noqa: S311  — data, not keys
            for _ in range(per_cell):
                yield _message(rng, kind, locale, by_locale.get(locale, by_locale["any"]))


def _message(rng: Random, kind: str, locale: str, makers: tuple[Callable[[Random], str], ...]) -> Labelled:
    value = rng.choice(makers)(rng)
    trick = kind in ("card", "iban", "national_id") and rng.random() < 0.1
    if trick:
        value = disguise(rng, value)
    before, after = rng.choice(TEMPLATES[kind][locale]).split("{x}")
    if rng.random() < 0.5:
        before = f"{rng.choice(FILLERS[locale])} {before}"
    if rng.random() < 0.5:
        after = f"{after} {rng.choice(FILLERS[locale])}"
    if rng.random() < 0.1 and kind not in ("name", "secret"):
        before, after = before.lower(), after.lower()
    return Labelled(before + value + after, len(before), len(before) + len(value), kind, locale, trick)


def disguise(rng: Random, value: str) -> str:
    """The same number to a reader, another to a pattern."""
    way = rng.randrange(5)
    if way == 0:
        return "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in value)
    if way == 1:
        return rng.choice(ZERO_WIDTH).join(value)
    if way == 2:
        return value.translate({48 + d: 0x660 + d for d in range(10)})
    if way == 3:
        return value.replace(" ", "\u00a0").replace("-", "\u2011")
    middle = rng.randrange(1, len(value))
    return value[:middle] + "\u200b" + value[middle:]


HARMLESS = (
    "I was charged £{a},{b:03d}.00 on 2024-{c:02d}-1{d} and £{a}.{b:02.0f} again at 1{d}:3{d}.",
    "Order {e} of {c:02d}/0{d}/2024 has not arrived, it said 3-5 days.",
    "The app says error {b} since version {d}.{c}.{a}, phone model X{b}.",
    "Transfer of {a} {b:03d} EUR on 0{d}.{c:02d}.2024 is pending for {d} days, reference TR{e}.",
    "Exchange rate was 1.{b:03d} but I got 1.{e}?",
    "My invoice INV-2024-{b:05d} for ${a},{b:03d} was due {c}/1{d}.",
    "I called on 1{d} March and again at {c}:4{d}, waited {a} minutes.",
    "Ticket #{e} open since week {c}, nobody answers, room {b}, floor {d}.",
    "Since 19{a:02d} I have had {d} accounts and {c} cards, never paid more than {b} in fees.",
    "Opening hours are 9-17, and the ATM at no {b} gave me {a} x 20.",
)


def make_harmless(seed: int, count: int) -> list[str]:
    """Messages full of amounts, dates, times and order numbers, with no personal data in them."""
    rng = Random(f"{seed} harmless")  # noqa: S311  — data, not keys
    return [
        rng.choice(HARMLESS).format(
            a=rng.randint(10, 99), b=rng.randint(100, 999), c=rng.randint(1, 12), d=rng.randint(1, 9),
            e=made.digits(rng, rng.choice((5, 6, 7, 8)), "7")
        )
        for _ in range(count)
    ]  # fmt: skip
