"""Rows that curation holds back, as reviews: a person decides, and sees which check was the reason. Pure."""

import json
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from feature_checks.usecase import UseCase
from services.errors import InputError
from services.privacy.hashing import keyed_hash
from services.reviews import QUARANTINED, RANKS, ReviewItem, Wanted

ROUTE = "curation"
_CHECK = re.compile(r"[a-z][a-z_]{0,29}")


def held_item(row: Mapping[str, Any], usecase: UseCase, key: bytes, now: datetime) -> ReviewItem:
    """The review of one row: `decision_id`, `tenant`, `fields` (redacted), `label` that was said or None,
    `checks`, `expires_at` (ISO 8601, UTC) or None. Raises `InputError` for a row of another form.
    """
    label, checks, until = row.get("label"), row.get("checks"), row.get("expires_at")
    names = [row.get("decision_id"), row.get("tenant")]
    if not all(isinstance(one, str) and 0 < len(one) <= 64 for one in names):
        raise InputError("decision_id", "decision_id, tenant: expected texts of 1 to 64 characters")
    if not isinstance(checks, list) or not all(isinstance(c, str) and _CHECK.fullmatch(c) for c in checks):
        raise InputError("checks", "checks: expected a list of names")
    if label is not None and label not in usecase.allowed(usecase.label):
        raise InputError("label", "label: expected one of the use case, or null")
    fields = row.get("fields")
    if not isinstance(fields, dict) or set(fields) - set(usecase.input):
        raise InputError("fields", "fields: expected input fields of the use case")
    decision, tenant = map(str, names)
    same = json.dumps([usecase.name, "quarantine", decision, label])
    why = (QUARANTINED, *sorted(set(checks))[:5])
    found = Wanted(keyed_hash(key, "review", tenant, same), why, RANKS[QUARANTINED], 0.0)
    return ReviewItem(
        wanted=found,
        decision_id=decision,
        tenant=tenant,
        use_case=usecase.name,
        fields=json.dumps(fields),
        output=json.dumps(None if label is None else {usecase.label: label}),
        route=ROUTE,
        answered=label,
        agreement=usecase.review.agreement,
        at=now.isoformat(),
        expires_at=until if isinstance(until, str) else None,
    )
