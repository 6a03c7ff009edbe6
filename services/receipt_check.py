"""Verifying a receipt, offline: bytes and public keys in, trusted claims out. Every refusal says why."""

import base64
import binascii
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from joserfc import jws
from joserfc.errors import BadSignatureError, JoseError
from joserfc.jwk import OKPKey

from services.errors import ReceiptRefused
from services.privacy.hashing import content_digest
from services.receipts import FORMAT, TYPE
from services.signer import ALGORITHMS, REGISTRY
from services.synthesis import answer_digest

MAX_CHARACTERS = 64 * 1024
CLOCKS_MAY_DIFFER_S = 60.0
_HEADER = frozenset({"alg", "kid", "typ"})
_CLAIMS: Mapping[str, tuple[type, ...]] = {
    "v": (int,), "id": (str,), "iat": (int,), "tenant": (str,), "use_case": (str,), "versions": (dict,),
    "request": (dict,), "answer": (dict,), "route": (str,), "degraded": (bool,), "attempts": (list,),
    "validators": (list,), "journal": (dict,),
}  # fmt: skip


def verify_receipt(receipt: str, jwks: Mapping[str, Any]) -> dict[str, Any]:
    """The claims of a receipt that one of the keys in `jwks` signed. Raises `ReceiptRefused`."""
    return _claims(open_signed(receipt, jwks, TYPE))


def open_signed(signed: str, jwks: Mapping[str, Any], type_: str) -> bytes:
    """The payload of a statement of that type, signed by a key in `jwks`. Raises `ReceiptRefused`."""
    header = _header(signed, type_)
    key = _key(header["kid"], jwks)
    try:
        payload: bytes = jws.deserialize_compact(signed, key, registry=REGISTRY).payload
    except BadSignatureError:
        raise ReceiptRefused("the signature does not fit: altered, or signed with another key") from None
    except (JoseError, ValueError, TypeError) as error:
        raise ReceiptRefused(f"is not a signed statement: {type(error).__name__}") from error
    return payload


def check_answer(claims: Mapping[str, Any], decision_id: str, output: Mapping[str, object]) -> None:
    """Is this the receipt of that decision and that answer, and not one used a second time? `output` is
    the redacted answer; where `claims["answer"]["redacted"]` is false, the answer as it was delivered.
    Raises `ReceiptRefused`."""
    if claims["id"] != decision_id:
        raise ReceiptRefused("is the receipt of another decision: it was used a second time")
    if claims["answer"].get("sha256") != answer_digest(output):
        hint = " as it was redacted" if claims["answer"].get("redacted") else ""
        raise ReceiptRefused(f"is not the receipt of this answer{hint}: the digests differ")


@dataclass(frozen=True, slots=True)
class Expected:
    """What its receiver knows of the decision; None where not known. `output` and `request` as they were
    redacted: where a text held no personal data, as it was sent. `max_age_s` in seconds."""

    decision_id: str | None = None
    output: Mapping[str, object] | None = None
    request: Mapping[str, object] | None = None
    max_age_s: float | None = None


def check_expected(claims: Mapping[str, Any], expected: Expected, now: float) -> None:
    """Is this the receipt of what its receiver has, and not another's used a second time? `now` in seconds
    since 1970. Raises `ReceiptRefused` with the first thing that does not fit."""
    if expected.decision_id is not None and claims["id"] != expected.decision_id:
        raise ReceiptRefused("is the receipt of another decision: it was used a second time")
    if expected.request is not None:
        digest = content_digest(claims["use_case"], expected.request)
        if claims["request"].get("sha256") != digest:
            raise ReceiptRefused("is not the receipt of this request as it was redacted: the digests differ")
    if expected.output is not None:
        check_answer(claims, claims["id"], expected.output)
    age_s = now - claims["iat"]
    if expected.max_age_s is not None and age_s > expected.max_age_s:
        raise ReceiptRefused(f"is {age_s:.0f} s old: expected at most {expected.max_age_s:g}")
    if expected.max_age_s is not None and age_s < -CLOCKS_MAY_DIFFER_S:
        raise ReceiptRefused("was issued in the future: one of the clocks is wrong")


def _header(receipt: str, type_: str) -> Mapping[str, Any]:
    if not isinstance(receipt, str) or len(receipt) > MAX_CHARACTERS:
        raise ReceiptRefused(f"expected a compact JWS of at most {MAX_CHARACTERS} characters")
    parts = receipt.split(".")
    if len(parts) != 3:
        raise ReceiptRefused(f"expected a compact JWS, three parts with dots between, got {len(parts)}")
    decoded = [_canonical_base64(part) for part in parts]
    header = _object(decoded[0], "header")
    if header.get("alg") not in ALGORITHMS:
        raise ReceiptRefused(f"expected algorithm EdDSA, got {_word(header.get('alg'))}")
    if header.get("typ") != type_:
        raise ReceiptRefused(f"expected type {type_}: this was signed for another purpose")
    if header.keys() != _HEADER or not isinstance(header["kid"], str):
        raise ReceiptRefused("the header holds something else than alg, kid and typ")
    return header


def _canonical_base64(part: str) -> bytes:
    """Decode base64url, and refuse a second spelling of the same bytes (spare bits, padding)."""
    try:
        raw = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except (binascii.Error, ValueError):
        raise ReceiptRefused("is not base64url") from None
    if base64.urlsafe_b64encode(raw).rstrip(b"=").decode() != part:
        raise ReceiptRefused("was altered: it is not written as base64url writes it")
    return raw


def _object(raw: bytes, what: str) -> dict[str, Any]:
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError):
        raise ReceiptRefused(f"the {what} is not JSON") from None
    if not isinstance(value, dict):
        raise ReceiptRefused(f"the {what} is not a JSON object")
    return value


def _key(kid: str, jwks: Mapping[str, Any]) -> OKPKey:
    keys = jwks.get("keys") if isinstance(jwks, Mapping) else None
    if not isinstance(keys, list):
        raise ReceiptRefused("the key set is not a JWKS: expected an object with a list `keys`")
    found = next((key for key in keys if isinstance(key, Mapping) and key.get("kid") == kid), None)
    if found is None:
        raise ReceiptRefused(f"its key {_word(kid)} is not among the {len(keys)} of the key set")
    if found.get("kty") != "OKP" or found.get("crv") != "Ed25519" or found.get("use", "sig") != "sig":
        raise ReceiptRefused("its key is not an Ed25519 signing key")
    try:
        key = OKPKey.import_key({"kty": "OKP", "crv": "Ed25519", "x": found["x"]})
        thumbprint = key.thumbprint()
    except (JoseError, ValueError, TypeError, KeyError):
        raise ReceiptRefused("its key cannot be read") from None
    if thumbprint != kid:
        raise ReceiptRefused("the key set gives its key id to another key")
    return key


def _word(value: object) -> str:
    """A short name or number of a receipt, fit for a message; anything else is not repeated."""
    text = str(value)
    return text if re.fullmatch(r"[A-Za-z0-9_-]{1,50}", text) else "something else"


def _claims(payload: bytes) -> dict[str, Any]:
    claims = _object(payload, "payload")
    if claims.get("v") != FORMAT:
        raise ReceiptRefused(f"expected receipt format {FORMAT}, got {_word(claims.get('v'))}")
    for name, types in _CLAIMS.items():
        if not isinstance(claims.get(name), types):
            raise ReceiptRefused(f"claim '{name}' is missing or has the wrong type")
    return claims
