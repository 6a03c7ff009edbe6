"""Amounts of money and percentages in an answer must stand in the request, in approved texts or in facts.

A model that names a fee, a rate or a refund which nobody gave it has made a promise for its owner.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from decimal import Decimal

from feature_checks.verification import AllowedAmounts
from services.errors import ConfigError
from services.values import Envelope
from services.verify.base import Prefix, Validator, VerifyContext

_NUMBER = r"\d{1,3}(?:[.,'’\s]\d{3})+(?:[.,]\d{1,2})?(?!\d)|\d+(?:[.,]\d+)?"
_WORDS = (
    "USD|EUR|GBP|CHF|JPY|CNY|INR|SEK|NOK|DKK|PLN|CZK|HUF|AUD|CAD|NZD|TRY|ZAR|BRL"
    r"|dollars?|euros?|pounds?|francs?|cents?|pence|quid|bucks|per\s?cent|p"
)
_MARK = rf"[$€£¥₹₽₺₩%]|(?<![A-Za-z])(?:{_WORDS})(?![A-Za-z])"
_AMOUNT = re.compile(
    rf"(?:{_MARK})\s*(?P<after>{_NUMBER})|(?P<before>{_NUMBER})\s*(?:{_MARK})", re.IGNORECASE
)
_ANY_NUMBER = re.compile(_NUMBER)
_NAMES = re.compile(r"<[^<>\s]*>|^\s*@?prefix\b.*$", re.MULTILINE | re.IGNORECASE)
"""What is a name and no statement in a file of facts: IRIs and prefixes of Turtle."""


AHEAD = 24
"""What may stand behind a number and make it an amount: its other digits, and a currency."""


def make(context: VerifyContext) -> Validator:
    facts = _facts(context, context.options(AllowedAmounts).facts)
    approved = _numbers((*context.approved, *facts))

    def check(output: Mapping[str, object], envelope: Envelope) -> str | None:
        named = amounts(value for value in output.values() if isinstance(value, str))
        if not named or not (unknown := named - approved):
            return None
        # Numbers without a currency count as given: people write "I was charged 20".
        unknown -= _numbers(str(value) for value in envelope.fields.values())
        return f"names {len(unknown)} amounts that were not given" if unknown else None

    return Validator("allowed_amounts", check, prefix=lambda _: Prefix(check, AHEAD))


def _facts(context: VerifyContext, files: tuple[str, ...]) -> list[str]:
    """Texts of the files, as far as they state something. Raises `ConfigError`."""
    texts: list[str] = []
    for file in files:
        try:
            text = context.usecase.path(file).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            shown = f"{context.usecase.name}/{file}"
            raise ConfigError(
                f"{shown}: expected a readable text in UTF-8, got {type(error).__name__}"
            ) from error
        texts.append(_NAMES.sub(" ", text))
    return texts


def amounts(texts: Iterable[str]) -> set[Decimal]:
    """The amounts of money and percentages in `texts`, by value: `£1,000.50` is 1000.50."""
    found = (match for text in texts for match in _AMOUNT.finditer(_plain(text)))
    return {_value(match["after"] or match["before"]) for match in found}


def _numbers(texts: Iterable[str]) -> set[Decimal]:
    return {_value(match[0]) for text in texts for match in _ANY_NUMBER.finditer(_plain(text))}


def _plain(text: str) -> str:
    """Full-width and other compatibility digits as ASCII, so that they cannot pass unseen."""
    return text if text.isascii() else unicodedata.normalize("NFKC", text)


def _value(number: str) -> Decimal:
    """`1,000` and `1.000` are a thousand, `1,5` and `1.50` one and a half; `0.125` is a fraction."""
    digits = re.sub(r"['’\s]", "", number)
    whole, separator, last = digits.rpartition("." if digits.rfind(".") > digits.rfind(",") else ",")
    groups = re.split(r"[.,]", whole)
    if not separator or (len(last) == 3 and groups[0] != "0"):
        return Decimal(re.sub(r"[.,]", "", digits))
    return Decimal(f"{''.join(groups)}.{last}")
