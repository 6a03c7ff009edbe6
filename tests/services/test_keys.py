"""API keys: their form, their life, and what is kept of them."""

from datetime import timedelta

import pytest

from services import keys
from services.errors import ConfigError

NOW = keys.utc_now()


def test_a_key_holds_256_random_bits_and_only_its_hash_is_kept() -> None:
    """Two keys differ, and the record does not hold the secret."""
    first, record = keys.issue("acme", ["caller"], NOW)
    second, _ = keys.issue("acme", ["caller"], NOW)
    assert first != second
    assert len(first.rsplit("-", 1)[0]) >= 15
    secret = first.removeprefix(f"sk-{record.id}-")
    assert len(secret) == 43
    assert secret not in repr(record)
    assert keys.key_id(first) == record.id


@pytest.mark.parametrize(
    "bad", ["", "sk-", "sk-abc", "x" * 200, "sk-0123456789ab-short", "sk-0123456789AB-" + "a" * 43]
)
def test_what_is_not_a_key_has_no_id(bad: str) -> None:
    """A malformed key never reaches the database."""
    assert keys.key_id(bad) is None


def test_a_key_is_admitted_until_it_expires_or_is_revoked() -> None:
    """Both ends of a key's life close it, and a wrong secret never opens it."""
    key, record = keys.issue("acme", ["caller"], NOW, expires_days=1)
    digest = keys.key_hash(key)
    assert keys.admits(record, digest, NOW)
    assert not keys.admits(record, digest, NOW + timedelta(days=1))
    assert not keys.admits(record, keys.key_hash(key + "x"), NOW)
    assert not keys.admits(None, digest, NOW)
    _, _, ending = keys.rotate(record, NOW, timedelta(0))
    assert not keys.admits(ending, digest, NOW)


def test_rotation_keeps_tenant_and_roles_and_leaves_an_overlap() -> None:
    """Old and new are both good during the overlap, then only the new one is."""
    old_key, old = keys.issue("acme", ["auditor", "caller"], NOW)
    new_key, new, ending = keys.rotate(old, NOW, timedelta(hours=2))
    assert (new.tenant, new.roles) == (old.tenant, old.roles)
    later = NOW + timedelta(hours=1)
    assert keys.admits(ending, keys.key_hash(old_key), later)
    assert keys.admits(new, keys.key_hash(new_key), later)
    assert not keys.admits(ending, keys.key_hash(old_key), NOW + timedelta(hours=2))


def test_a_second_rotation_does_not_lengthen_the_first_overlap() -> None:
    """The end that was set stays the latest end."""
    _, old = keys.issue("acme", ["caller"], NOW)
    _, _, ending = keys.rotate(old, NOW, timedelta(hours=1))
    _, _, again = keys.rotate(ending, NOW, timedelta(hours=48))
    assert again.revoked_at == NOW + timedelta(hours=1)


@pytest.mark.parametrize(
    ("tenant", "roles", "days", "named"),
    [
        ("Acme Ltd", ["caller"], 1, "tenant"),
        ("", ["caller"], 1, "tenant"),
        ("acme", [], 1, "role"),
        ("acme", ["root"], 1, "role"),
        ("acme", ["caller"], 0, "expires-days"),
        ("acme", ["caller"], 99999, "expires-days"),
    ],
)
def test_a_bad_request_for_a_key_says_what_is_wrong(
    tenant: str, roles: list[str], days: int, named: str
) -> None:
    """Expected and got, by name."""
    with pytest.raises(ConfigError, match=named):
        keys.issue(tenant, roles, NOW, days)


def test_a_closed_key_cannot_be_rotated() -> None:
    """A revoked key must not come back to life under another name."""
    _, old = keys.issue("acme", ["caller"], NOW)
    _, _, ending = keys.rotate(old, NOW, timedelta(0))
    with pytest.raises(ConfigError, match="revoked"):
        keys.rotate(ending, NOW, timedelta(hours=1))
