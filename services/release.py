"""How much of a text that is still being written may go out: pure.

Two things hold text back. The end: a text is cut between two plain words only, with so many visible
characters seen behind the cut, so that no placeholder, number, address or name can be half out when the rest
of it comes. And the validators: nothing goes out of a text that one of them objects to as far as it is there.
Neither is a verdict. That is given on the whole text, by the same `verify` as for an answer that is not
streamed; here text only waits for it.
"""

import re
from collections.abc import Sequence

from services.privacy.normalise import normalise
from services.values import Envelope
from services.verify import Prefix

_WORD = re.compile(r"[^ \t\n\r]+")
_PLAIN = re.compile(r"[\"'“‘«¿¡]?[^\W\d_]+(?:['’-][^\W\d_]+)*[.,;:!?…]?[\"'”’»]?")
"""Letters, and what stands around them in a sentence. Any other word may go on after a space."""

STEP = 24
"""Text is judged anew once so many more characters could go out, and a sixteenth of what is there: so that
judging all of it costs a small multiple of judging it once, however many pieces it comes in."""


class Release:
    """One answer's text field on its way out."""

    def __init__(self, prefixes: Sequence[Prefix], field: str, envelope: Envelope) -> None:
        self.released = ""
        self._prefixes = tuple(prefixes)
        self._ahead = max((prefix.ahead for prefix in prefixes), default=0)
        self._field = field
        self._envelope = envelope
        self._judged_at = 0

    def step(self, text: str) -> str:
        """What may go out now, `text` being all that was written until now; often nothing.

        A text that does not begin with what went out already (the answer was begun anew) gives nothing.
        """
        done = len(self.released)
        if not text.startswith(self.released):
            return ""
        if 0 <= len(text) - self._judged_at < max(STEP, len(text) // 16):
            return ""
        self._judged_at = len(text)
        end = safe_end(text, done, self._ahead)
        if end == done:
            return ""
        output = {self._field: text}
        if any(prefix.check(output, self._envelope) is not None for prefix in self._prefixes):
            return ""
        self.released = text[:end]
        return text[done:end]


def safe_end(text: str, start: int, ahead: int) -> int:
    """The last place after `start` where an unfinished text may be cut: between two plain words, with at
    least `ahead` visible characters behind it. `start` where there is none."""
    visible, behind_is_plain = 0, False
    for word in reversed(list(_WORD.finditer(text, start))):
        if visible >= max(ahead, 1) and behind_is_plain and _PLAIN.fullmatch(word[0]):
            return word.end()
        # The last word may go on: until it is complete nobody knows what it is.
        behind_is_plain = word.end() < len(text) and bool(_PLAIN.fullmatch(word[0]))
        visible += len(normalise(word[0]).text)
    return start
