"""Curation: what traffic and people's labels may teach, as a versioned snapshot. No Prefect in here.

read -> rules -> no repeats -> poisoning defence -> cap and balance -> data gate -> snapshot

Rows are those beside the base data (the published or sample rows), not in place of it.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from feature_checks.contracts import feature_contract, identity_fields
from feature_checks.datasets import Which, default_cache_dir, load_labelled
from feature_checks.influence import balanced, capped
from feature_checks.labelled import LabelledData
from feature_checks.splits import row_keys
from feature_checks.suspects import first_of_each
from feature_checks.usecase import UseCase
from feature_checks.values import typed_columns
from flows.curation_rules import Learned, Lesson, expiry, lessons
from flows.defence import suspects
from flows.errors import StepError
from flows.labelled_decisions import read_decided, read_said
from flows.params import Params
from flows.snapshots import EXTRA, Snapshot, drop_expired, snapshots_dir, write_snapshot

if TYPE_CHECKING:
    import pandas as pd


def curate(
    usecase: UseCase,
    which: Which,
    journal: Path,
    params: Params,
    root: Path | None = None,
    now: datetime | None = None,
    keep_days: int | None = None,
) -> Snapshot:
    """Make the snapshot of what the journal holds by now, having removed those whose retention is over.

    The same journal, data and settings give the same folder. `keep_days` is the retention of a use case that
    says nothing of it. Raises `StepError` for a use case without
    `learning:` or local model, and `CheckFailed` where the kept rows do not pass the data gate.
    """
    now = now or datetime.now(UTC)
    base_dir = snapshots_dir(usecase.name, root)
    drop_expired(base_dir, now)  # whatever becomes of this one
    spec = usecase.learning
    if spec is None or usecase.local is None:
        missing = "learning" if spec is None else "local"
        raise StepError(
            f"use case '{usecase.name}' has no `{missing}:` section, so nothing may be learned from its "
            "traffic; docs/guides/learning.md says what to write there"
        )
    said, broken = read_said(journal)
    decisions, counted = read_decided(journal, usecase, said)
    learned = lessons(usecase, decisions, said, now, keep_days)
    base = load_labelled(usecase, which, default_cache_dir())
    left_out = dict(learned.left_out)
    rows = _table(learned, usecase)
    rows, held = _without_repeats(rows, base, usecase, left_out)
    rows = _enough_of_each(rows, base, usecase, left_out)
    found = first_of_each(
        suspects(base.train, rows, usecase, params.of_kind(usecase.local.kind), params.seed)
    )
    settled = {one.decision.id for one in learned.lessons if one.settled}
    sure = {place for place, made in enumerate(rows["decision_id"].tolist()) if made in settled}
    why = {
        place: "; ".join(f"{one.check}: {one.why}" for one in of)
        for place, of in found.items()
        if place not in sure
    }
    held += [_with_reason(rows.iloc[[place]], reason) for place, reason in sorted(why.items())]
    rows = rows.drop(index=rows.index[sorted(why)]).reset_index(drop=True)
    labels, tenants = rows[usecase.label].tolist(), rows["tenant"].tolist()
    kept = capped(labels, tenants, spec.tenant_share, params.seed)
    rows = _kept(rows, kept, left_out, "beyond tenant_share")
    labels, weak = rows[usecase.label].tolist(), rows["weak"].tolist()
    kept = balanced(labels, weak, spec.max_per_label, params.seed)
    rows = _kept(rows, kept, left_out, "beyond max_per_label")
    _gate(rows, base, usecase)
    quarantine = _quarantine(rows, held, learned, usecase, keep_days)
    notes = _notes(usecase, which, base, rows, quarantine, left_out)
    notes["journal"] = {**counted, "unusable_feedback_lines": broken, "labelled": len(decisions)}
    return write_snapshot(base_dir, rows, quarantine, notes, now.isoformat(timespec="seconds"))


def _table(learned: Learned, usecase: UseCase) -> "pd.DataFrame":
    """What people settled first, then strong labels, then by the time at which they were said."""
    import pandas as pd

    ordered = sorted(learned.lessons, key=lambda one: (not one.settled, one.weak, one.at, one.decision.id))
    columns = [*usecase.input, usecase.label, *EXTRA, "expires_at"]
    table = pd.DataFrame([_row(one, usecase) for one in ordered], columns=columns)
    typed = typed_columns(table[[*usecase.input, usecase.label]], feature_contract(usecase))
    for name in (*EXTRA, "expires_at"):
        typed[name] = table[name]
    return typed


def _row(one: Lesson, usecase: UseCase) -> list[Any]:
    weight = usecase.learning.weak_weight if one.weak and usecase.learning else 1.0
    fields = [one.decision.fields.get(name) for name in usecase.input]
    beside = (one.source, one.decision.tenant, one.weak, weight, one.decision.id, one.at)
    return [*fields, one.label, *beside, one.expires_at]


def _without_repeats(
    rows: "pd.DataFrame", base: LabelledData, usecase: UseCase, left_out: dict[str, int]
) -> "tuple[pd.DataFrame, list[pd.DataFrame]]":
    """One row a message, none that the base has; those that say otherwise than an earlier one are held."""
    identity = identity_fields(usecase)
    if not identity or not len(rows):
        return rows, []
    keys = row_keys(rows, identity).tolist()
    labels = rows[usecase.label].tolist()
    tested = set(row_keys(base.test, identity)) | set(row_keys(base.outside, identity))
    known = dict(zip(row_keys(base.train, identity), base.train[usecase.label].tolist(), strict=True))
    keep, held = [], []
    for place, (key, label) in enumerate(zip(keys, labels, strict=True)):
        if key in tested:
            _count(left_out, "repeats a row that models are tested on")
        elif key not in known:
            known[key] = label
            keep.append(place)
        elif known[key] == label:
            _count(left_out, "repeats a row that is there already")
        else:
            held.append(_with_reason(rows.iloc[[place]], "contradiction: the same message has another label"))
    return rows.iloc[keep].reset_index(drop=True), held


def _enough_of_each(
    rows: "pd.DataFrame", base: LabelledData, usecase: UseCase, left_out: dict[str, int]
) -> "pd.DataFrame":
    """Labels with fewer rows than a model can be trained on wait for more."""
    counts = base.train[usecase.label].value_counts().add(rows[usecase.label].value_counts(), fill_value=0)
    enough = rows[usecase.label].map(counts) >= usecase.data.min_rows_per_label
    return _kept(rows, enough.to_numpy(), left_out, "its label has fewer rows than min_rows_per_label")


def _kept(rows: "pd.DataFrame", mask: Any, left_out: dict[str, int], why: str) -> "pd.DataFrame":
    _count(left_out, why, int(len(rows) - mask.sum()))
    kept: pd.DataFrame = rows[mask].reset_index(drop=True)
    return kept


def _gate(rows: "pd.DataFrame", base: LabelledData, usecase: UseCase) -> None:
    """The data that a model would be trained on passes the same gate as the base. Raises `CheckFailed`."""
    import pandas as pd

    from feature_checks.gate import run_gate

    if not len(rows):
        return
    columns = [*usecase.input, usecase.label]
    train = pd.concat([base.train[columns], rows[columns]], ignore_index=True)
    contract = feature_contract(usecase)
    run_gate(contract, train, base.test, base.outside, {"train": "base rows, then the snapshot's"})


def _quarantine(
    rows: "pd.DataFrame",
    held: "list[pd.DataFrame]",
    learned: Learned,
    usecase: UseCase,
    keep_days: int | None,
) -> "pd.DataFrame":
    import pandas as pd

    until = [(one, expiry(usecase, one, keep_days)) for one in learned.disputed]
    disputed = [
        {**{n: one.fields.get(n) for n in usecase.input}, "tenant": one.tenant, "decision_id": one.id,
         "expires_at": end.isoformat() if end else None, "why": "dispute: people differ on its label"}
        for one, end in until
    ]  # fmt: skip
    columns = [*usecase.input, usecase.label, *EXTRA, "expires_at", "why"]
    parts = [*held, pd.DataFrame(disputed, columns=columns)] if disputed else held
    found = pd.concat(parts, ignore_index=True) if parts else _with_reason(rows.iloc[:0], "")
    quarantined: pd.DataFrame = found[columns]
    return quarantined


def _notes(
    usecase: UseCase,
    which: Which,
    base: LabelledData,
    rows: "pd.DataFrame",
    quarantine: "pd.DataFrame",
    left_out: Mapping[str, int],
) -> dict[str, Any]:
    from flows.steps.prepare import rows_digest

    assert usecase.learning is not None
    reasons: dict[str, int] = {}
    for text in quarantine["why"].tolist():
        for part in text.split("; "):
            _count(reasons, part.partition(":")[0])
    until = [t for frame in (rows, quarantine) for t in frame["expires_at"].tolist() if isinstance(t, str)]
    return {
        "use_case": usecase.name,
        "contract_version": usecase.version,
        "parent": {"data": which, "train_sha256": rows_digest(base.train), "train_rows": len(base.train)},
        "rules": usecase.learning.model_dump(mode="json"),
        "counts": {
            "rows": len(rows),
            "weak": int(rows["weak"].astype(bool).sum()),
            "labels": {str(k): int(n) for k, n in rows[usecase.label].value_counts().sort_index().items()},
            "sources": {str(k): int(n) for k, n in rows["source"].value_counts().sort_index().items()},
            "tenants": {str(k): int(n) for k, n in rows["tenant"].value_counts().sort_index().items()},
        },
        "left_out": {name: n for name, n in sorted(left_out.items()) if n},
        "quarantine": {"rows": len(quarantine), "checks": dict(sorted(reasons.items()))},
        "keep_until": min(until) if until else None,
    }


def _with_reason(rows: "pd.DataFrame", why: str) -> "pd.DataFrame":
    marked: pd.DataFrame = rows.assign(why=why)
    return marked


def _count(counts: dict[str, int], why: str, n: int = 1) -> None:
    counts[why] = counts.get(why, 0) + n
