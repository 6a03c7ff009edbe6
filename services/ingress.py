"""The door: who is this, may they, and until when? An API key or a token becomes a `Caller`.

A key that was good is remembered for `cache_s`, by the hash of what was presented, so that the usual
request asks no database and a revoked key is out within that time. When the database cannot be read,
keys that were good in the last `GRACE_S` stay good; unknown ones are told that keys cannot be checked.
Tokens of an identity provider, where one is set up, are remembered and throttled in the same way.
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
from services.oidc import Tokens, is_token
from services.values import Caller

GRACE_S = 60.0
REMEMBERED = 20_000

_BEARER = re.compile(r"[Bb]earer +(\S+)")
_TRACEPARENT = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


class Keys(Protocol):
    """Where keys are found; `services.state.api_keys.ApiKeys` is one."""

    def find(self, key_id: str) -> KeyRecord | None: ...


@dataclass(frozen=True, slots=True)
class _Known:
    caller: Caller
    expires_at: datetime
    checked_at: float  # on the monotonic clock
    good_for_s: float  # how long it need not be looked up again


class Ingress:
    """Authenticates and authorises. One for each worker process, used from its event loop only."""

    def __init__(
        self,
        keys: Keys,
        limits: RateLimits,
        cache_s: float,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = utc_now,
        tokens: Tokens | None = None,
    ) -> None:
        self._keys = keys
        self._limits = limits
        self._cache_s = cache_s
        self._clock = clock
        self._now = now
        self._tokens = tokens
        self._known: OrderedDict[bytes, _Known] = OrderedDict()

    async def admit(self, authorization: str | None, address: str, role: str | None) -> Caller:
        """The caller, counted against its rates; `role` None lets any role in.

        Raises `Unauthorized`, `Forbidden`, `TooManyRequests`, `StateUnavailable` or `IdentityUnavailable`.
        """
        caller = await self._authenticate(authorization, address)
        await self._limits.admit(caller)
        if role is not None and role not in caller.roles:
            raise Forbidden(f"this needs the role '{role}'; this key has {', '.join(sorted(caller.roles))}")
        return caller

    async def _authenticate(self, authorization: str | None, address: str) -> Caller:
        found = _BEARER.fullmatch(authorization or "")
        if found is None:
            raise Unauthorized("an API key is needed: send the header 'Authorization: Bearer sk-…'")
        presented = found.group(1)
        digest = hashlib.sha256(presented.encode("utf-8", "replace")).digest()
        known = self._known.get(digest)
        if known is not None and self._still(known, known.good_for_s):
            return known.caller
        if known is None:  # whoever guesses is slowed; a key that was good here is never locked out by them
            await self._limits.may_try_keys(address)
        try:
            if self._tokens is not None and is_token(presented):
                fresh = await self._verified(self._tokens, presented)
            else:
                fresh = self._look_up(presented, digest, known)
        except (Unauthorized, Forbidden):
            self._known.pop(digest, None)
            await self._limits.failed_key(address)
            raise
        self._remember(digest, fresh)
        return fresh.caller

    def _still(self, known: _Known, for_s: float) -> bool:
        return self._clock() - known.checked_at < for_s and known.expires_at > self._now()

    def _look_up(self, key: str, digest: bytes, known: _Known | None) -> _Known:
        identifier = key_id(key)
        try:
            record = self._keys.find(identifier) if identifier is not None else None
        except StateUnavailable:
            if known is not None and self._still(known, GRACE_S):
                return known
            raise
        if not admits(record, digest.hex(), self._now()) or record is None:
            raise Unauthorized("this API key is not valid: unknown, expired or revoked")
        expires = min(record.expires_at, record.revoked_at or record.expires_at)
        return _Known(Caller(record.tenant, record.id, record.roles), expires, self._clock(), self._cache_s)

    async def _verified(self, tokens: Tokens, token: str) -> _Known:
        checked_at = self._clock()
        identity = await tokens.verify(token)
        return _Known(identity.caller, identity.expires_at, checked_at, tokens.cache_s)

    def _remember(self, digest: bytes, known: _Known) -> None:
        self._known[digest] = known
        self._known.move_to_end(digest)
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)


def trace_id(traceparent: str | None) -> str | None:
    """The trace id of a W3C `traceparent` header (Trace Context, 3.2); None when there is no valid one."""
    found = _TRACEPARENT.fullmatch(traceparent or "")
    return found.group(1) if found else None
