"""Reads the trust policy and this machine's revocations, and writes the latter: whole files, atomically."""

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from registry.errors import KeyUnusable, TrustInvalid
from registry.keys import PUBLIC, TrustedKey, trusted_keys
from registry.keys import TRUSTED as TRUSTED_DIR
from registry.settings import RegistrySettings
from registry.signers import AUTHORITIES, SIGSTORE_TRUST, TrustedCertificate, TrustedIdentity, signer_id
from registry.trust import Revocations, Stage, Trust, parse_revocations, parse_trust

REVOKED = "revoked.json"


def read_trust(settings: RegistrySettings) -> Trust:
    """The policy with this machine's revocations. Raises `TrustInvalid`: without a policy, no trust."""
    path = settings.trust
    try:
        trust = parse_trust(path.read_bytes(), path.name)
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise TrustInvalid(
            f"{path.name}: expected a trust policy, got none ({why}); set SWITCHYARD_TRUST"
        ) from error
    return trust.plus(_revocations(settings))


def keys_for(settings: RegistrySettings, stage: Stage, now: datetime | None = None) -> tuple[TrustedKey, ...]:
    """Every known key; those that may not vouch for `stage` now say why in `barred`."""
    trust, now = read_trust(settings), now or datetime.now(UTC)
    own = settings.keys_dir / PUBLIC
    named = _named(trust, settings, stage, now)
    try:
        keys = trusted_keys(settings.keys_dir)
    except KeyUnusable:
        if not named or own.exists() or any((settings.keys_dir / TRUSTED_DIR).glob("*.pem")):
            raise
        keys = ()  # a machine that trusts certificates alone
    barred = [trust.why_key_barred(key.key_id, key.path == own, stage, now) for key in keys]
    return (*(replace(key, barred=why) for key, why in zip(keys, barred, strict=True)), *named)


def _named(trust: Trust, settings: RegistrySettings, stage: Stage, now: datetime) -> list[TrustedKey]:
    """The signers that the policy names by certificate and by identity."""
    found: list[TrustedKey] = []
    for line in trust.certificates:
        key_id = signer_id("certificate", line.authority, line.identity)
        barred = trust.why_line_barred(line, key_id, stage, now)
        path = settings.keys_dir / AUTHORITIES / line.authority
        found.append(TrustedCertificate(path, key_id, "", barred, identity=line.identity))
    for who in trust.identities:
        key_id = signer_id("keyless", who.issuer, who.identity)
        barred = trust.why_line_barred(who, key_id, stage, now)
        path = settings.keys_dir / SIGSTORE_TRUST
        found.append(TrustedIdentity(path, key_id, "", barred, identity=who.identity, issuer=who.issuer))
    return found


def revoke(more: Revocations, settings: RegistrySettings) -> None:
    """Add to this machine's revocations; running replicas see it within seconds. Raises `TrustInvalid`."""
    settings.keys_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _locked(settings.keys_dir):
        before = _revocations(settings)
        after = Revocations(
            revoked_keys=tuple(dict.fromkeys((*before.revoked_keys, *more.revoked_keys))),
            revoked_versions=tuple(dict.fromkeys((*before.revoked_versions, *more.revoked_versions))),
        )
        _write(settings.keys_dir / REVOKED, after.model_dump_json(indent=1) + "\n")


def _revocations(settings: RegistrySettings) -> Revocations:
    try:
        return parse_revocations((settings.keys_dir / REVOKED).read_bytes(), f"keys/{REVOKED}")
    except FileNotFoundError:
        return Revocations()
    except OSError as error:
        raise TrustInvalid(
            f"keys/{REVOKED}: cannot be read ({error.strerror}); correct its rights"
        ) from error


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    descriptor = os.open(folder / ".revoked.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _write(path: Path, content: str) -> None:
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".revoked-")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
