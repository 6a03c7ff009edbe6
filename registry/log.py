"""The signed, append-only log of promotions and refusals: `{home}/promotions.jws`, one compact JWS a line.

Each entry is signed with the model-signing key and names the digest of the line before, so a line that
is changed, removed from the middle or moved shows. A cut at the end shows only against an earlier copy.
"""

import fcntl
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from registry.errors import LogBroken
from registry.keys import ensure_signing_keys, trusted_keys
from registry.settings import RegistrySettings

FILE = "promotions.jws"
TYPE = "switchyard-promotion+jws"
ALGORITHMS = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512"}


@dataclass(frozen=True, slots=True)
class LogEntry:
    n: int
    at: str  # ISO 8601, UTC
    kind: str
    body: Mapping[str, Any]
    key_id: str


def append(kind: str, body: Mapping[str, Any], settings: RegistrySettings) -> int:
    """Sign one entry and make it durable; returns its number. Raises `LogBroken`, `KeyUnusable`, OSError."""
    return _append(kind, body, settings)[0]


def append_line(kind: str, body: Mapping[str, Any], settings: RegistrySettings) -> str:
    """The same, and returns the signed line itself, which then vouches elsewhere for what it says."""
    return _append(kind, body, settings)[1]


def _append(kind: str, body: Mapping[str, Any], settings: RegistrySettings) -> tuple[int, str]:
    keys = ensure_signing_keys(settings.keys_dir)
    key = ECKey.import_key(keys.private_key.read_bytes())
    path = settings.home / FILE
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        lines = file.read().split(b"\n")
        if lines.pop():  # a writer died in the middle: what it wrote was never told to anyone
            file.truncate(sum(len(line) + 1 for line in lines))
        before = sha256(lines[-1]).hexdigest() if lines else None
        claims = {
            "n": len(lines),
            "at": datetime.now(UTC).isoformat(timespec="microseconds"),
            "kind": kind,
            "prev": before,
            "body": body,
        }
        algorithm = ALGORITHMS[key.curve_name]
        header = {"alg": algorithm, "kid": keys.key_id, "typ": TYPE}
        payload = json.dumps(claims, sort_keys=True, allow_nan=False)
        line = jws.serialize_compact(header, payload, key, algorithms=[algorithm])
        file.write(line.encode("ascii") + b"\n")
        file.flush()
        os.fsync(file.fileno())
    return len(lines), line


def read_log(settings: RegistrySettings) -> list[LogEntry]:
    """Every entry, verified. Raises `LogBroken` naming the first line that is not what was appended."""
    path = settings.home / FILE
    if not path.exists():
        return []
    keys = {key.key_id: ECKey.import_key(key.path.read_bytes()) for key in trusted_keys(settings.keys_dir)}
    entries: list[LogEntry] = []
    before = None
    for number, line in enumerate(path.read_bytes().split(b"\n")[:-1]):
        entries.append(_entry(line, number, before, keys))
        before = sha256(line).hexdigest()
    return entries


def read_line(line: bytes, settings: RegistrySettings) -> LogEntry:
    """One line that came by another way, out of its chain. Raises `LogBroken`."""
    keys = {key.key_id: ECKey.import_key(key.path.read_bytes()) for key in trusted_keys(settings.keys_dir)}
    return _signed(line, keys, "this line of a log of promotions")[0]


def _signed(line: bytes, keys: Mapping[str, ECKey], where: str) -> tuple[LogEntry, str | None]:
    """The entry, and what it names as the line before it."""
    try:
        key_id = str(jws.extract_compact(line).headers()["kid"])
        key = keys[key_id]
        signed = jws.deserialize_compact(line, key, algorithms=[ALGORITHMS[key.curve_name]])
        if signed.headers().get("typ") != TYPE:
            raise ValueError
        claims = json.loads(signed.payload)
        return LogEntry(claims["n"], claims["at"], claims["kind"], claims["body"], key_id), claims["prev"]
    except (JoseError, ValueError, KeyError, TypeError, AttributeError):
        raise LogBroken(f"{where} was altered, or is by no key known here") from None


def _entry(line: bytes, number: int, before: str | None, keys: Mapping[str, ECKey]) -> LogEntry:
    where = f"{FILE}: entry {number}"
    entry, named = _signed(line, keys, where)
    if (entry.n, named) != (number, before):
        raise LogBroken(f"{where} does not follow the line before it: one was removed, moved or altered")
    return entry
