"""Does an answer bring personal data that the request did not hold?"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from services.privacy.detect import Detector
from services.privacy.normalise import normalise
from services.values import Envelope


def new_personal_data(
    output: Any, envelope: Envelope, detector: Detector, known: Sequence[str] = ()
) -> list[str]:
    """Kinds of personal data in the strings of `output` (redacted form) that stand neither in the
    redacted request nor in `known` texts (approved templates, facts, retrieved documents); sorted."""
    allowed: str | None = None
    kinds: set[str] = set()
    for text in _strings(output):
        for span in detector.scan(text):
            if allowed is None:
                allowed = "\n".join(_folded(t) for t in (*_strings(envelope.fields), *known))
            if _folded(text[span.start : span.end]) not in allowed:
                kinds.add(span.kind)
    return sorted(kinds)


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _strings(key)
            yield from _strings(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _strings(item)


def _folded(text: str) -> str:
    return normalise(text).text.casefold()
