"""The door: who is this, may they, and until when? An API key becomes a `Caller`.

A key that was good is remembered for `cache_s`, by the hash of what was presented, so that the usual
request asks no database and a revoked key is out within that time. When the database cannot be read,
keys that were good in the last `GRACE_S` stay good; unknown ones are told that keys cannot be checked.
"""

import hashlib
import re
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from services.api.limits import RateLimits
from services.errors import Forbidden, StateUnavailable, Unauthorized
from services.keys import KeyRecord, admits, key_id, utc_now
from services.values import Caller

GRACE_S = 60.0
REMEMBERED = 20_000

_BEARER = re.compile(r"[Bb]earer +(\S+)")
_TRACEPARENT = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


class Keys(Protocol):
    """Where keys are found; `services.state.api_keys.ApiKeys` is one."""

    def find(self, key_id: str) -> KeyRecord | None: ...


@dataclass(slots=True)
class _Known:
    caller: Caller
    expires_at: datetime
    checked_at: float  # on the monotonic clock


class Ingress:
    """Authenticates and authorises. One for each worker process, used from its event loop only."""

    def __init__(
        self,
        keys: Keys,
        limits: RateLimits,
        cache_s: float,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._keys = keys
        self._limits = limits
        self._cache_s = cache_s
        self._clock = clock
        self._now = now
        self._known: OrderedDict[bytes, _Known] = OrderedDict()

    def admit(self, authorization: str | None, address: str, role: str | None) -> Caller:
        """The caller, counted against its rates; `role` None lets any role in.

        Raises `Unauthorized`, `Forbidden`, `TooManyRequests` or `StateUnavailable`.
        """
        caller = self._authenticate(authorization, address)
        self._limits.admit(caller)
        if role is not None and role not in caller.roles:
            raise Forbidden(f"this needs the role '{role}'; this key has {', '.join(sorted(caller.roles))}")
        return caller

    def _authenticate(self, authorization: str | None, address: str) -> Caller:
        found = _BEARER.fullmatch(authorization or "")
        if found is None:
            raise Unauthorized("an API key is needed: send the header 'Authorization: Bearer sk-…'")
        digest = hashlib.sha256(found.group(1).encode("utf-8", "replace")).digest()
        clock = self._clock()
        known = self._known.get(digest)
        if known is not None and clock - known.checked_at < self._cache_s and known.expires_at > self._now():
            return known.caller
        return self._look_up(found.group(1), digest, known, address, clock)

    def _look_up(self, key: str, digest: bytes, known: _Known | None, address: str, clock: float) -> Caller:
        if known is None:  # whoever guesses is slowed; a key that was good here is never locked out by them
            self._limits.may_try_keys(address)
        identifier = key_id(key)
        try:
            record = self._keys.find(identifier) if identifier is not None else None
        except StateUnavailable:
            if known is not None and clock - known.checked_at < GRACE_S and known.expires_at > self._now():
                return known.caller
            raise
        if not admits(record, digest.hex(), self._now()) or record is None:
            self._known.pop(digest, None)
            self._limits.failed_key(address)
            raise Unauthorized("this API key is not valid: unknown, expired or revoked")
        caller = Caller(record.tenant, record.id, record.roles)
        expires = min(record.expires_at, record.revoked_at or record.expires_at)
        self._known[digest] = _Known(caller, expires, clock)
        self._known.move_to_end(digest)
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return caller


def trace_id(traceparent: str | None) -> str | None:
    """The trace id of a W3C `traceparent` header (Trace Context, 3.2); None when there is no valid one."""
    found = _TRACEPARENT.fullmatch(traceparent or "")
    return found.group(1) if found else None
