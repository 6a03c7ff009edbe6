"""Who is signed in: the API key stays in this process' memory, the browser holds a random word for it.

Nothing of it is written anywhere, so there is no secret to keep and a restart signs everyone out.
"""

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field

COOKIE = "switchyard_console"
IDLE_S = 1800.0
LONGEST_S = 8 * 3600.0
MOST = 1000


@dataclass(frozen=True, slots=True)
class Session:
    """One person's stay. `roles`: of reviewer and auditor, those that the key has."""

    key: str = field(repr=False)
    roles: frozenset[str]


@dataclass(slots=True)
class _Kept:
    session: Session
    began: float
    seen: float


class Sessions:
    """In memory, bounded; a session ends after half an hour without use, or eight hours."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._kept: dict[str, _Kept] = {}

    def begin(self, session: Session) -> str:
        """A new random word (256 bits) for this session; beyond `MOST` the oldest ends."""
        now = self._clock()
        for word in [word for word, kept in self._kept.items() if _over(kept, now)]:
            del self._kept[word]
        while len(self._kept) >= MOST:
            del self._kept[next(iter(self._kept))]
        word = secrets.token_urlsafe(32)
        self._kept[word] = _Kept(session, now, now)
        return word

    def find(self, word: str | None, *, used: bool = True) -> Session | None:
        """The session behind a word, or None. `used`: a person did something, so it goes on."""
        kept = self._kept.get(word) if word else None
        if kept is None or word is None:
            return None
        now = self._clock()
        if _over(kept, now):
            del self._kept[word]
            return None
        if used:
            kept.seen = now
        return kept.session

    def end(self, word: str | None) -> None:
        if word:
            self._kept.pop(word, None)


def _over(kept: _Kept, now: float) -> bool:
    return now - kept.seen > IDLE_S or now - kept.began > LONGEST_S
