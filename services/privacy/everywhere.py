"""What was found once is personal data wherever it stands.

'My name is Ines Calder … please write to Ines Calder': only the first has an introduction. So after
all texts of a request were scanned, every other place with one of the originals counts too.
"""

from collections.abc import Mapping, Sequence

from services.privacy.detect import Detector, settle
from services.privacy.kinds import Span

_SHORTEST = 4  # an original shorter than that is too likely to be a word of its own


def find_all(texts: Mapping[str, str], detector: Detector) -> dict[str, list[Span]]:
    """Spans of personal data in each text, in order, none overlapping: found there, or found in another."""
    found = {name: detector.scan(text) for name, text in texts.items()}
    originals = {
        texts[name][span.start : span.end]: span.kind
        for name, spans in found.items()
        for span in spans
        if span.end - span.start >= _SHORTEST
    }
    if not originals:
        return found
    return {name: _with_repeats(text, found[name], originals) for name, text in texts.items()}


def _with_repeats(text: str, spans: Sequence[Span], originals: Mapping[str, str]) -> list[Span]:
    more: list[Span] = []
    edges = {edge for span in spans for edge in (span.start, span.end)}  # what is replaced ends a word
    for original, kind in originals.items():
        at = text.find(original)
        while at >= 0:
            end = at + len(original)
            if all(edge in edges or not _inside_a_word(text, edge) for edge in (at, end)):
                more.append(Span(at, end, kind, 0.0))  # what was found there by itself keeps its kind
                edges |= {at, end}
            at = text.find(original, end)
    return settle([*spans, *more])


def _inside_a_word(text: str, at: int) -> bool:
    return 0 < at < len(text) and text[at - 1].isalnum() and text[at].isalnum()
