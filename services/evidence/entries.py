"""One entry of the signed log: a checkpoint, or what retention took out. Pure: bytes and keys in, values out.

An entry is a compact JWS of its own type. Its payload holds `log`, `n` (from 0) and `prev`, the SHA-256 of
the entry before it, so that a removed one shows; entry 0 names the last one of the log that it follows.
"""

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from services.errors import ReceiptRefused
from services.receipt_check import open_signed

FORMAT = 1
TYPE = "switchyard-evidence+jws"
STAMP_TYPE = "switchyard-journal+jws"
CHECKPOINT, RETENTION = "checkpoint", "retention"
_COMMON: Mapping[str, type] = {"log": str, "n": int, "kind": str, "node": str, "at": str, "body": dict}
_BODIES: Mapping[str, Mapping[str, type]] = {
    CHECKPOINT: {"file": str, "seq": int, "hash": str, "files": int, "closed": bool},
    RETENTION: {"event": str, "file": str, "seqs": list, "sha256": str, "head": dict},
}


@dataclass(frozen=True, slots=True)
class Mark:
    """One entry's place, and its digest: what the next entry names."""

    log: str
    n: int
    sha256: str

    def as_json(self) -> dict[str, Any]:
        return {"log": self.log, "n": self.n, "sha256": self.sha256}


@dataclass(frozen=True, slots=True)
class LogEntry:
    """A verified entry. `body` is that of its kind; `prev` is a digest, for entry 0 a mark or None."""

    log: str
    n: int
    kind: str
    node: str
    at: str
    prev: str | Mapping[str, Any] | None
    body: Mapping[str, Any]


def entry_digest(signed: str) -> str:
    return hashlib.sha256(signed.encode("ascii", "replace")).hexdigest()


def entry_claims(
    kind: str, body: Mapping[str, Any], node: str, at: str, log: str, n: int, before: Mark | None
) -> dict[str, Any]:
    """What is signed. `before` is the entry before this one; of an entry 0, that of another log."""
    prev = None if before is None else (before.sha256 if n else before.as_json())
    common = {"v": FORMAT, "kind": kind, "node": node, "at": at}
    return {**common, "log": log, "n": n, "prev": prev, "body": dict(body)}


def peek(signed: str) -> Mark:
    """Where an entry of our own says it stands, unverified. Raises ValueError."""
    payload = _payload(signed)
    return Mark(str(payload["log"]), int(payload["n"]), entry_digest(signed))


def peek_body(signed: str) -> Mapping[str, Any]:
    """What an entry says, unverified: to find the few that are worth verifying. Raises ValueError."""
    body = _payload(signed).get("body")
    if not isinstance(body, dict):
        raise ValueError("is not an entry")
    return body


def _payload(signed: str) -> dict[str, Any]:
    parts = signed.split(".")
    if len(parts) != 3:
        raise ValueError("is not an entry")
    payload = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    if not isinstance(payload, dict):
        raise ValueError("is not an entry")
    return payload


def verify_entry(signed: str, jwks: Mapping[str, Any]) -> LogEntry:
    """Raises `ReceiptRefused` for whatever none of these keys signed as an entry."""
    claims = _object(open_signed(signed, jwks, TYPE))
    if claims.get("v") != FORMAT:
        raise ReceiptRefused(f"expected an entry of format {FORMAT}")
    _check(claims, _COMMON)
    if claims["kind"] in _BODIES:
        _check(claims["body"], _BODIES[claims["kind"]])
    return LogEntry(
        claims["log"], claims["n"], claims["kind"], claims["node"], claims["at"], claims.get("prev"),
        claims["body"],
    )  # fmt: skip


def verify_stamp(stamp: object, file: str, jwks: Mapping[str, Any]) -> bool:
    """Did one of these keys sign that it began this journal file?"""
    try:
        return isinstance(stamp, str) and _object(open_signed(stamp, jwks, STAMP_TYPE)).get("file") == file
    except ReceiptRefused:
        return False


def _object(payload: bytes) -> dict[str, Any]:
    try:
        value = json.loads(payload)
    except ValueError:
        raise ReceiptRefused("the payload is not JSON") from None
    if not isinstance(value, dict):
        raise ReceiptRefused("the payload is not a JSON object")
    return value


def _check(found: Mapping[str, Any], expected: Mapping[str, type]) -> None:
    for name, type_ in expected.items():
        if not isinstance(found.get(name), type_):
            raise ReceiptRefused(f"claim '{name}' is missing or has the wrong type")
