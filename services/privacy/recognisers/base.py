"""What every recogniser is."""

from collections.abc import Iterable, Sequence
from typing import Protocol

from services.privacy.kinds import Span
from services.privacy.reading import Reading


class Recogniser(Protocol):
    """Finds one kind, or a few, in a plain text. Stateless; `found` is what those before it found."""

    def find(self, reading: Reading, found: Sequence[Span]) -> Iterable[Span]: ...
