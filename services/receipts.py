"""Receipts: a signed statement of how an answer came to be, verified offline with the public keys alone.

A receipt is a compact JWS (RFC 7515) with EdDSA over Ed25519 (RFC 8037). It holds digests, never
content: that of the redacted request, that of the redacted answer, and the hash of the journal record,
which in turn commits to everything the journal knows. There is no digest of the re-identified answer:
a card number can be found from a plain hash by trying.
"""

import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from joserfc import jws
from joserfc.errors import UnsupportedAlgorithmError
from joserfc.jws import JWSRegistry

from services.errors import SigningUnavailable
from services.journal_file import Appended
from services.privacy.hashing import canonical_json
from services.receipt_keys import SigningKey, active_kid, ensure_receipt_key
from services.synthesis import Outcome
from services.values import AttemptRecord, Envelope

log = logging.getLogger(__name__)

FORMAT = 1
TYPE = "switchyard-receipt+jws"
ALGORITHMS = ("EdDSA", "Ed25519")  # the old and the new (RFC 9864) name of the one algorithm we take
_LOOK_FOR_ROTATION_S = 5.0


class Ed25519Only(JWSRegistry):
    """No other algorithm exists here, so none can be slipped in. Also spares a deprecation warning for
    each signature: RFC 9864 prefers the name Ed25519, but fewer verifiers know that one yet."""

    def get_alg(self, name: str) -> Any:  # the library does not export the type
        if name not in ALGORITHMS:
            raise UnsupportedAlgorithmError(f"algorithm {name!r} is not allowed")
        return self.algorithms[name]


REGISTRY = Ed25519Only(algorithms=ALGORITHMS)


class Receipts:
    """Signs receipts, one for each process. Makes the key at once if there is none, and takes a rotated
    key within seconds. Raises `SigningUnavailable` when built without a usable key."""

    def __init__(self, keys_dir: Path) -> None:
        self._keys_dir = keys_dir
        self._take(ensure_receipt_key(keys_dir))

    def issue(self, envelope: Envelope, outcome: Outcome, appended: Appended) -> str:
        """The receipt of one recorded decision."""
        if time.monotonic() >= self._look_again:
            self._follow_rotation()
        claims = receipt_claims(envelope, outcome, appended, issued_at=int(time.time()))
        payload = canonical_json(claims)
        return jws.serialize_compact(self._header, payload, self._signing.key, registry=REGISTRY)

    def _take(self, signing: SigningKey) -> None:
        self._signing = signing
        self._header = {"alg": "EdDSA", "kid": signing.kid, "typ": TYPE}
        self._look_again = time.monotonic() + _LOOK_FOR_ROTATION_S

    def _follow_rotation(self) -> None:
        """Take a rotated key. Whatever is wrong with the folder, the key in hand still signs."""
        self._look_again = time.monotonic() + _LOOK_FOR_ROTATION_S
        try:
            if active_kid(self._keys_dir) not in (None, self._signing.kid):
                self._take(ensure_receipt_key(self._keys_dir))
        except (SigningUnavailable, OSError, ValueError) as error:
            log.error(
                "receipts: the rotated key cannot be used, the old one goes on: %s", type(error).__name__
            )


def receipt_claims(
    envelope: Envelope, outcome: Outcome, appended: Appended, issued_at: int
) -> dict[str, Any]:
    """What a receipt says. `issued_at` in seconds since 1970, UTC."""
    return {
        "v": FORMAT,
        "id": envelope.id,
        "iat": issued_at,
        "tenant": envelope.tenant,
        "use_case": envelope.use_case,
        "versions": dict(outcome.versions),
        "request": {"sha256": envelope.digest, "tags": sorted(envelope.tags)},
        "answer": {"sha256": outcome.answer_digest, "redacted": _holds_placeholders(outcome, envelope)},
        "route": outcome.route,
        "confidence": outcome.confidence,
        "degraded": outcome.degraded,
        "attempts": [_attempt_claim(attempt) for attempt in outcome.attempts],
        "validators": outcome.validators,
        "cost_usd": outcome.cost_usd,
        "journal": {"file": appended.file, "seq": appended.seq, "hash": appended.hash},
    }


def _holds_placeholders(outcome: Outcome, envelope: Envelope) -> bool:
    """Does the delivered answer differ from the one that was digested?"""
    if not envelope.placeholders or outcome.output is None:
        return False
    texts = [value for value in outcome.output.values() if isinstance(value, str)]
    return any(placeholder in text for placeholder in envelope.placeholders for text in texts)


def _attempt_claim(attempt: AttemptRecord) -> Mapping[str, Any]:
    claim: dict[str, Any] = {
        "target": attempt.target,
        "outcome": attempt.outcome,
        "policy_ids": attempt.policy_ids,
    }
    if attempt.model is not None:
        claim["model"] = attempt.model
    if attempt.cost_usd != 0.0:
        claim["cost_usd"] = attempt.cost_usd
    return claim
