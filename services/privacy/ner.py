"""The place for a NER model that a team installs: `module:factory`, asked within a time, off by default.

The factory takes nothing and returns a callable with `kinds`, the kinds that it may find in lower case.
Whatever it does wrong (an exception, an answer that takes too long or makes no sense) lets nothing
through: the text counts as found as a whole (`services.privacy.detect`).
"""

import importlib
import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from services.errors import ConfigError
from services.privacy.detect import NamedEntities
from services.privacy.kinds import KIND_SHAPE, UNNAMED, Span

THREADS = 2
MAX_SPANS = 10_000
VARIABLE = "SWITCHYARD_NER"


class NerUnavailableError(Exception):
    """The model did not answer in time, or still works on texts that it was given up on."""


class BoundedNer:
    """A model's callable, asked in threads of its own. The caller waits, at most `timeout_s`."""

    def __init__(self, find: NamedEntities, kinds: tuple[str, ...], timeout_s: float) -> None:
        self._find = find
        self._timeout_s = timeout_s
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="ner")
        self._free = threading.BoundedSemaphore(THREADS)
        self.kinds = (*kinds, *(() if UNNAMED in kinds else (UNNAMED,)))

    def __call__(self, text: str) -> Iterable[Span]:
        if not self._free.acquire(blocking=False):
            raise NerUnavailableError
        asked = self._pool.submit(self._ask, text)
        try:
            found = asked.result(self._timeout_s)
        except TimeoutError:
            raise NerUnavailableError from None
        return [span if span.kind in self.kinds else _unnamed(span) for span in found]

    def _ask(self, text: str) -> list[Span]:
        try:
            found = list(self._find(text))
            if len(found) > MAX_SPANS or not all(isinstance(span, Span) for span in found):
                raise NerUnavailableError
            return found
        finally:
            self._free.release()


def load_ner(named: str, timeout_s: float) -> BoundedNer:
    """Import and build what `SWITCHYARD_NER` names. Raises `ConfigError`."""
    module, _, factory = named.partition(":")
    try:
        find = getattr(importlib.import_module(module), factory)()
    except Exception as error:  # a team's own code may raise anything
        raise ConfigError(
            f"{VARIABLE}: expected module:factory that builds a model, got {named}: {type(error).__name__}"
        ) from error
    kinds = getattr(find, "kinds", None)
    if not callable(find) or not isinstance(kinds, tuple | list) or not kinds:
        raise ConfigError(
            f"{VARIABLE}: {named}: expected a callable with `kinds`, the kinds that it may find"
        )
    if wrong := [kind for kind in kinds if not isinstance(kind, str) or not KIND_SHAPE.fullmatch(kind)]:
        raise ConfigError(
            f"{VARIABLE}: {named}: kinds: expected lower-case words as in 'location', got {wrong[0]!r}"
        )
    return BoundedNer(find, tuple(kinds), timeout_s)


def _unnamed(span: Span) -> Span:
    return Span(span.start, span.end, UNNAMED, span.score)
