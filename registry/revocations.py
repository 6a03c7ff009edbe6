"""Revocations travel with MLflow: the signed line of the log lies as a tag at each version that it ends.

So every machine that follows a shared MLflow hears of one at its next look, and keeps it for good: who can
write MLflow may hide it from a machine that did not see it yet, and can neither make one nor take one back.
"""

import logging
from collections.abc import Sequence
from typing import Protocol

from pydantic import ValidationError

from registry.errors import LogBroken
from registry.log import read_line
from registry.records import ModelRef, RegisteredVersion
from registry.settings import RegistrySettings
from registry.trust import Revocations
from registry.trust_files import keys_for, read_trust, revoke

KIND = "revocation"
OF_VERSION, OF_SIGNER = "revoked.version", "revoked.signer"

log = logging.getLogger(__name__)


class Versions(Protocol):
    """What of `store.Registry` is needed."""

    def list_models(self) -> list[RegisteredVersion]: ...

    def note(self, ref: ModelRef, tags: dict[str, str]) -> None: ...


def publish(line: str, more: Revocations, store: Versions) -> int:
    """Mark every version that these revocations end with the line which says so; returns how many."""
    digests = {one.digest for one in more.revoked_versions}
    keys = {one.key for one in more.revoked_keys}
    marked = 0
    for version in store.list_models():
        tags = {tag: line for tag, ended in (
            (OF_VERSION, version.ref.digest in digests), (OF_SIGNER, version.key_id in keys),
        ) if ended}  # fmt: skip
        if tags:
            store.note(version.ref, tags)
            marked += 1
    return marked


def take_over(settings: RegistrySettings, versions: Sequence[RegisteredVersion]) -> list[str]:
    """Keep here what the versions' marks revoke; returns a sentence for each that is new.

    Only the line of a key that may sign for champions here, and was not revoked itself, counts. Raises
    `TrustInvalid`, `KeyUnusable`.
    """
    told = []
    for line in dict.fromkeys(
        v.tags[tag] for v in versions for tag in (OF_VERSION, OF_SIGNER) if tag in v.tags
    ):
        more = _signed(line, settings)
        if more is None:
            continue
        known = read_trust(settings)
        keys = tuple(one for one in more.revoked_keys if not _has(known.revoked_keys, "key", one.key))
        ended = tuple(
            one for one in more.revoked_versions if not _has(known.revoked_versions, "digest", one.digest)
        )
        if keys or ended:
            revoke(Revocations(revoked_keys=keys, revoked_versions=ended), settings)
            told += [f"key {one.key} was revoked: {one.reason}" for one in keys]
            told += [f"version {one.digest[:12]} was revoked: {one.reason}" for one in ended]
    return told


def _signed(line: str, settings: RegistrySettings) -> Revocations | None:
    try:
        entry = read_line(line.encode(), settings)
        if entry.kind != KIND:
            return None
        more = Revocations.model_validate(dict(entry.body))
    except (LogBroken, ValidationError, UnicodeError):
        log.warning("a version in MLflow is marked as revoked, by nobody who is trusted here: not followed")
        return None
    barred = {key.key_id: key.barred for key in keys_for(settings, "champion")}
    return more if barred.get(entry.key_id, "is not known") is None else None


def _has(known: Sequence[object], name: str, value: str) -> bool:
    return any(getattr(one, name) == value for one in known)
