"""API keys: what one looks like, what is kept of it, and the rules for issuing. No I/O.

A key is `sk-<12 hex digits>-<43 characters>`: a public id to find it by, and 32 random bytes
(base64url). Only the SHA-256 of the whole key is kept. The secret has 256 bits of entropy, so a plain
hash cannot be searched, and a slow one would only slow us (NIST SP 800-63B-4, 3.1.2 asks slowness
of secrets that people choose).
"""

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from services.errors import ConfigError

ROLES = ("caller", "reviewer", "auditor", "operator")
DEFAULT_DAYS = 365
MAX_DAYS = 3650
DEFAULT_OVERLAP_HOURS = 24.0

_KEY = re.compile(r"sk-([0-9a-f]{12})-[A-Za-z0-9_-]{43}")
_TENANT = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_NO_HASH = "0" * 64


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """What is kept of one key. Times are UTC; `revoked_at` may lie ahead (an overlap while rotating)."""

    id: str
    tenant: str
    roles: frozenset[str]
    hash: str
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None = None

    def state(self, now: datetime) -> str:
        """`active`, `expired` or `revoked`."""
        if self.revoked_at is not None and self.revoked_at <= now:
            return "revoked"
        return "expired" if self.expires_at <= now else "active"


def is_tenant(name: str) -> bool:
    """Is it written as tenants are: 1 to 63 of a-z, 0-9, '_' and '-', a letter or digit first?"""
    return _TENANT.fullmatch(name) is not None


def key_hash(key: str) -> str:
    """SHA-256 (hex) of a whole key."""
    return hashlib.sha256(key.encode("utf-8", "replace")).hexdigest()


def key_id(key: str) -> str | None:
    """The public id in a well-formed key, else None."""
    found = _KEY.fullmatch(key)
    return found.group(1) if found else None


def admits(record: KeyRecord | None, presented: str, now: datetime) -> bool:
    """Is `presented` (a hash) this record's key, and still good? Takes as long for an unknown id."""
    same = hmac.compare_digest(record.hash if record else _NO_HASH, presented)
    return same and record is not None and record.state(now) == "active"


def issue(
    tenant: str, roles: Iterable[str], now: datetime, expires_days: int = DEFAULT_DAYS
) -> tuple[str, KeyRecord]:
    """A new key, shown once, and the record to keep. Raises `ConfigError` for a bad tenant or role."""
    wanted = frozenset(roles)
    if not is_tenant(tenant):
        raise ConfigError(
            "tenant: expected 1 to 63 of a-z, 0-9, '_' and '-', beginning with a letter or digit"
        )
    if not wanted or wanted - set(ROLES):
        raise ConfigError(
            f"role: expected some of {', '.join(ROLES)}; got {', '.join(sorted(wanted)) or 'none'}"
        )
    if not 0 < expires_days <= MAX_DAYS:
        raise ConfigError(f"expires-days: expected 1 to {MAX_DAYS}, got {expires_days}")
    identifier = secrets.token_hex(6)
    secret = base64.urlsafe_b64encode(secrets.token_bytes(32)).rstrip(b"=").decode()
    key = f"sk-{identifier}-{secret}"
    expires = now + timedelta(days=expires_days)
    return key, KeyRecord(identifier, tenant, wanted, key_hash(key), now, expires)


def rotate(
    old: KeyRecord, now: datetime, overlap: timedelta, expires_days: int = DEFAULT_DAYS
) -> tuple[str, KeyRecord, KeyRecord]:
    """A successor with the same tenant and roles, and the old record, good until the overlap ends."""
    if overlap < timedelta(0):
        raise ConfigError("overlap-hours: expected 0 or more")
    if old.state(now) != "active":
        raise ConfigError(f"key {old.id} is {old.state(now)}; create a new one instead of rotating it")
    key, new = issue(old.tenant, old.roles, now, expires_days)
    last = min(now + overlap, old.revoked_at or now + overlap)
    return key, new, replace(old, revoked_at=last)


def utc_now() -> datetime:
    return datetime.now(UTC)
