"""Receipts: a signed statement of how an answer came to be, verified offline with the public keys alone.

A receipt is a compact JWS (RFC 7515) with EdDSA over Ed25519 (RFC 8037). It holds digests, never
content: that of the redacted request, that of the redacted answer, and the hash of the journal record,
which in turn commits to everything the journal knows. There is no digest of the re-identified answer:
a card number can be found from a plain hash by trying.
"""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from services.journal_file import Appended
from services.signer import Signer
from services.synthesis import Outcome
from services.values import AttemptRecord, Envelope

FORMAT = 1
TYPE = "switchyard-receipt+jws"


class Receipts:
    """Signs receipts, one for each process. Raises `SigningUnavailable` when built without a usable key."""

    def __init__(self, keys_dir: Path) -> None:
        self._signer = Signer(keys_dir, TYPE)

    def issue(self, envelope: Envelope, outcome: Outcome, appended: Appended) -> str:
        """The receipt of one recorded decision."""
        return self._signer.sign(receipt_claims(envelope, outcome, appended, issued_at=int(time.time())))


def receipt_claims(
    envelope: Envelope, outcome: Outcome, appended: Appended, issued_at: int
) -> dict[str, Any]:
    """What a receipt says. `issued_at` in seconds since 1970, UTC."""
    claims = {
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
    if outcome.variants:
        claims["rollouts"] = [one.plain for one in outcome.variants]
    return claims


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
