"""Keyed hashes for what must be joined but not read, and the canonical bytes that digests are over."""

import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any

# `json.dumps` would make an encoder each time.
_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode


def keyed_hash(key: bytes, purpose: str, tenant: str, value: object) -> str:
    """`purpose_` and 32 hex digits (128 bits) of HMAC-SHA256 (RFC 2104) over purpose, tenant and value.

    The same value gives the same hash within one deployment (one key), tenant and purpose only, so
    nobody can join one tenant's subjects with another's, or test guesses without the key.
    """
    message = json.dumps([purpose, tenant, str(value)]).encode()
    return f"{purpose}_{hmac.digest(key, message, 'sha256').hex()[:32]}"


def canonical_json(value: Any) -> bytes:
    """UTF-8 JSON with sorted keys and no spaces, after RFC 8785; NaN and infinity are refused.

    It differs from the RFC in numbers alone: floats are written as Python writes them.
    """
    return _encode(value).encode("utf-8")


def content_digest(use_case: str, fields: Mapping[str, object]) -> str:
    """SHA-256 (hex) over use case and redacted fields: `Envelope.digest`."""
    return hashlib.sha256(canonical_json({"fields": dict(fields), "use_case": use_case})).hexdigest()
