"""What `context.residency` and `context.purpose` may say: words of a closed list, as they are kept as said.

Journal, decisions, reasons and policy get these words in the clear, so nothing that a caller made up may be
one: a name or an account number without spaces looks just like a word.
"""

import re
from dataclasses import dataclass

from services.errors import InputError

DEFAULT_PURPOSE = "service"

_PLACE = re.compile(r"[a-z]{2}")  # ISO 3166-1 alpha-2, eu, uk: too short to hold anything
_WORD = re.compile(r"[a-z][a-z0-9_-]{0,31}")


def is_word(text: str) -> bool:
    """Could a request ever say this: at most 32 of a-z, 0-9, '_' and '-', a letter first?"""
    return _WORD.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Residencies and purposes that a use case knows, in lower case, beside those that are always known:
    any two letters as a residency, `service` as a purpose."""

    residencies: frozenset[str] = frozenset()
    purposes: frozenset[str] = frozenset()

    def residency(self, said: str | None) -> str | None:
        """The word to record and to ask policy about; None if none was said. Raises `InputError`."""
        if said is None:
            return None
        word = _plain(said)
        if _PLACE.fullmatch(word) or word in self.residencies:
            return word
        more = "".join(f", {known}" for known in sorted(self.residencies) if len(known) > 2)
        raise _refused("context.residency", f"a country's two letters, eu{more}")

    def purpose(self, said: str) -> str:
        """The word to record and to ask policy about. Raises `InputError`."""
        word = _plain(said)
        if word == DEFAULT_PURPOSE or word in self.purposes:
            return word
        known = ", ".join(sorted({DEFAULT_PURPOSE, *self.purposes}))
        raise _refused("context.purpose", f"one of {known}: the words of this use case's policy")


def _plain(said: str) -> str:
    word = said.strip().lower()
    return word if is_word(word) else ""


def _refused(field: str, expected: str) -> InputError:
    return InputError(field, f"{field}: expected {expected}")
