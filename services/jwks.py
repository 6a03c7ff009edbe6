"""Reading a JWKS document: which public keys an identity provider signs with. Pure, and strict.

What is no key for verifying signatures is left out, as RFC 7517 (5) asks: a provider may add kinds that
are newer than this code. Symmetric and private keys are never taken: with them, who verifies could sign.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey

MAX_BYTES = 256 * 1024
MAX_KEYS = 64
RSA_BITS = (2048, 8192)

_KINDS: Mapping[str, type[RSAKey] | type[ECKey] | type[OKPKey]] = {"RSA": RSAKey, "EC": ECKey, "OKP": OKPKey}
_SIGNATURE_CURVES = ("P-256", "P-384", "P-521", "Ed25519")
_OF_KIND = {"RSA": ("RS", "PS"), "EC": ("ES",), "OKP": ("Ed",)}


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key that may verify, and the algorithms it may do that with (by the first two letters)."""

    key: RSAKey | ECKey | OKPKey
    families: tuple[str, ...]
    algorithm: str | None  # the only one, where the provider says so

    def takes(self, algorithm: str) -> bool:
        return algorithm.startswith(self.families) and self.algorithm in (None, algorithm)


def read_jwks(document: bytes) -> dict[str, PublicKey]:
    """Keys by `kid`. Raises `ValueError` for what is no JWKS, or holds no usable key."""
    if len(document) > MAX_BYTES:
        raise ValueError(f"is larger than {MAX_BYTES} bytes")
    try:
        parsed = json.loads(document)
    except (ValueError, RecursionError):
        raise ValueError("is not JSON") from None
    listed = parsed.get("keys") if isinstance(parsed, dict) else None
    if not isinstance(listed, list) or len(listed) > MAX_KEYS:
        raise ValueError(f"expected an object with 'keys', a list of at most {MAX_KEYS}")
    found: dict[str, PublicKey] = {}
    twice: set[str] = set()
    for entry in listed:
        key = _public_key(entry) if isinstance(entry, dict) else None
        if key is not None:
            twice |= {entry["kid"]} & found.keys()
            found[entry["kid"]] = key
    usable = {kid: key for kid, key in found.items() if kid not in twice}  # which one is meant is unknown
    if not usable:
        raise ValueError("holds no public signature key with a 'kid' of its own")
    return usable


def _public_key(entry: dict[str, object]) -> PublicKey | None:
    kid, kind, algorithm = entry.get("kid"), entry.get("kty"), entry.get("alg")
    if not isinstance(kid, str) or not kid or not isinstance(kind, str) or kind not in _KINDS:
        return None
    if entry.get("use", "sig") != "sig" or not _may_verify(entry.get("key_ops")) or "d" in entry:
        return None
    if not (algorithm is None or isinstance(algorithm, str)):
        return None
    if kind != "RSA" and entry.get("crv") not in _SIGNATURE_CURVES:
        return None
    wanted = {name: entry[name] for name in ("kty", "n", "e", "crv", "x", "y") if name in entry}
    try:
        key = _KINDS[kind].import_key(wanted)  # type: ignore[arg-type]  # joserfc checks what the values are
        size = key.public_key.key_size if isinstance(key, RSAKey) else RSA_BITS[0]
    except (JoseError, ValueError, TypeError, AttributeError, KeyError):
        return None
    return PublicKey(key, _OF_KIND[kind], algorithm) if RSA_BITS[0] <= size <= RSA_BITS[1] else None


def _may_verify(operations: object) -> bool:
    return operations is None or (isinstance(operations, list) and "verify" in operations)
