"""Keys for receipts: one active Ed25519 key, and the public halves of all there ever were.

    {keys}/receipts/<kid>.json   the active private key (JWK), 0600
    {keys}/receipts/active       its kid
    {keys}/jwks.json             every public key, old ones too: what outsiders verify with

`kid` is the key's RFC 7638 thumbprint, so it cannot point to another key. All changes happen under a
file lock, and the pointer moves last: workers that start together agree on one key.
"""

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from joserfc.errors import JoseError
from joserfc.jwk import OKPKey

from services.errors import SigningUnavailable


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key with its kid. Its repr holds nothing secret."""

    kid: str
    key: OKPKey = field(repr=False)


def ensure_receipt_key(keys_dir: Path) -> SigningKey:
    """The active key, made now if there is none. Raises `SigningUnavailable`."""
    try:
        with _locked(keys_dir):
            kid = active_kid(keys_dir)
            signing = _make(keys_dir) if kid is None else _load(keys_dir, kid)
            _publish(keys_dir, signing)
            if kid is None:
                _write(_folder(keys_dir) / "active", signing.kid, 0o600)
            return signing
    except (OSError, ValueError, TypeError, JoseError) as error:
        raise SigningUnavailable(
            f"the receipt key in keys/receipts/ cannot be used ({type(error).__name__}); check that this "
            "folder can be read and written; where its key is damaged, remove the file `active` in it"
        ) from error


def rotate_receipt_key(keys_dir: Path) -> SigningKey:
    """Begin a new key. Receipts signed with old ones stay verifiable; their private halves are deleted.

    Workers that run take the new key within seconds. Raises `SigningUnavailable`.
    """
    try:
        with _locked(keys_dir):
            signing = _make(keys_dir)
            _publish(keys_dir, signing)
            _write(_folder(keys_dir) / "active", signing.kid, 0o600)
            for old in _folder(keys_dir).glob("*.json"):
                if old.stem != signing.kid:
                    old.unlink()
            return signing
    except OSError as error:
        raise SigningUnavailable(f"no new receipt key could be written: {error.strerror}") from error


def active_kid(keys_dir: Path) -> str | None:
    """The kid that signs now, or None where no key was made yet."""
    try:
        return (_folder(keys_dir) / "active").read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return None


def public_jwks(keys_dir: Path) -> dict[str, Any]:
    """All public keys as a JWKS (RFC 7517); empty where no key was made yet."""
    try:
        return dict(json.loads((keys_dir / "jwks.json").read_text(encoding="utf-8")))
    except FileNotFoundError:
        return {"keys": []}


def _make(keys_dir: Path) -> SigningKey:
    key = OKPKey.generate_key("Ed25519", private=True)
    signing = SigningKey(key.thumbprint(), key)
    _write(_folder(keys_dir) / f"{signing.kid}.json", json.dumps(key.as_dict(private=True)), 0o600)
    return signing


def _load(keys_dir: Path, kid: str) -> SigningKey:
    key = OKPKey.import_key(json.loads((_folder(keys_dir) / f"{kid}.json").read_text(encoding="utf-8")))
    if key.thumbprint() != kid or key.curve_name != "Ed25519" or not key.is_private:
        raise ValueError("the active key is not the one that its name says")
    return SigningKey(kid, key)


def _publish(keys_dir: Path, signing: SigningKey) -> None:
    jwks = public_jwks(keys_dir)
    if any(key["kid"] == signing.kid for key in jwks["keys"]):
        return
    jwks["keys"].append(_public(signing))
    _write(keys_dir / "jwks.json", json.dumps(jwks, indent=1), 0o644)


def _public(signing: SigningKey) -> Mapping[str, Any]:
    return {**signing.key.as_dict(private=False), "kid": signing.kid, "use": "sig", "alg": "EdDSA"}


def _folder(keys_dir: Path) -> Path:
    return keys_dir / "receipts"


def _write(path: Path, text: str, mode: int) -> None:
    """Whole or not at all, and never for a moment readable by others."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(fd, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def _locked(keys_dir: Path) -> Iterator[None]:
    _folder(keys_dir).mkdir(mode=0o700, parents=True, exist_ok=True)
    fd = os.open(_folder(keys_dir) / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)
