"""A revocation reaches every machine that follows MLflow, and nobody who can only write MLflow makes one."""

from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from registry.keys import SigningKeys, ensure_signing_keys
from registry.log import append_line
from registry.records import ModelRef, RegisteredVersion
from registry.revocations import OF_SIGNER, OF_VERSION, publish, take_over
from registry.settings import RegistrySettings
from registry.trust import Revocations, RevokedKey, RevokedVersion
from registry.trust_files import read_trust, revoke

FIRST, SECOND = "a" * 64, "b" * 64


@dataclass
class Kept:
    """MLflow's versions, as far as revocations need them."""

    versions: list[RegisteredVersion] = field(default_factory=list)

    def list_models(self) -> list[RegisteredVersion]:
        return self.versions

    def note(self, ref: ModelRef, tags: dict[str, str]) -> None:
        self.versions = [replace(v, tags={**v.tags, **tags}) if v.ref == ref else v for v in self.versions]


@dataclass
class Two:
    """Where a revocation is made, with its key, and a machine that knows the public half."""

    here: RegistrySettings
    there: RegistrySettings
    keys: SigningKeys
    kept: Kept

    def said(self, more: Revocations) -> str:
        return append_line("revocation", more.model_dump(mode="json"), self.here)


@pytest.fixture
def two(tmp_path: Path) -> Two:
    here, there = (RegistrySettings(home=tmp_path / name) for name in ("here", "there"))
    keys = ensure_signing_keys(here.keys_dir)
    trusted = there.keys_dir / "trusted"
    trusted.mkdir(parents=True)
    (trusted / "here.pem").write_bytes(keys.public_key.read_bytes())
    listed = [
        RegisteredVersion(
            ModelRef("m", number, digest), (), keys.key_id, "u", "k", "2026-01-01T00:00:00+00:00"
        )
        for number, digest in enumerate((FIRST, SECOND), 1)
    ]
    return Two(here, there, keys, Kept(listed))


def of_version(digest: str) -> Revocations:
    return Revocations(revoked_versions=(RevokedVersion(digest=digest, reason="wrong labels"),))


def test_a_version_that_is_revoked_elsewhere_is_revoked_here_once(two: Two) -> None:
    more = of_version(SECOND)
    assert publish(two.said(more), more, two.kept) == 1
    assert take_over(two.there, two.kept.versions) == [f"version {SECOND[:12]} was revoked: wrong labels"]
    assert read_trust(two.there).why_version_barred(SECOND) == "was revoked: wrong labels"
    assert read_trust(two.there).why_version_barred(FIRST) is None
    assert take_over(two.there, two.kept.versions) == []


def test_a_key_that_is_revoked_elsewhere_is_revoked_here_though_it_says_so_itself(two: Two) -> None:
    more = Revocations(revoked_keys=(RevokedKey(key=two.keys.key_id, reason="laptop stolen"),))
    assert publish(two.said(more), more, two.kept) == 2
    assert take_over(two.there, two.kept.versions) == [f"key {two.keys.key_id} was revoked: laptop stolen"]
    assert take_over(two.there, two.kept.versions) == []


def test_a_revocation_that_was_seen_outlives_its_mark(two: Two) -> None:
    more = of_version(FIRST)
    publish(two.said(more), more, two.kept)
    take_over(two.there, two.kept.versions)
    assert take_over(two.there, [replace(v, tags={}) for v in two.kept.versions]) == []
    assert read_trust(two.there).why_version_barred(FIRST) is not None


def marked(two: Two, line: str, tag: str = OF_VERSION) -> list[RegisteredVersion]:
    return [replace(version, tags={tag: line}) for version in two.kept.versions]


def test_a_mark_that_no_trusted_key_signed_revokes_nothing(
    two: Two, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stranger = RegistrySettings(home=tmp_path / "stranger")
    foreign = append_line("revocation", of_version(FIRST).model_dump(mode="json"), stranger)
    head, body, signature = two.said(of_version(FIRST)).split(".")
    for line in (foreign, f"{head}.{body[:-4]}AAAA.{signature}", "no line", "", "é"):
        assert take_over(two.there, marked(two, line)) == []
    assert read_trust(two.there).revoked_versions == ()
    assert "by nobody who is trusted here" in caplog.text


def test_a_line_that_says_something_else_revokes_nothing(two: Two) -> None:
    for kind, body in (("promotion", {"revoked_versions": []}), ("revocation", {"digest": FIRST})):
        assert take_over(two.there, marked(two, append_line(kind, body, two.here), OF_SIGNER)) == []
    assert read_trust(two.there).revoked_versions == ()


def test_a_key_that_was_revoked_revokes_nothing_more(two: Two) -> None:
    revoke(Revocations(revoked_keys=(RevokedKey(key=two.keys.key_id, reason="stolen"),)), two.there)
    assert take_over(two.there, marked(two, two.said(of_version(FIRST)))) == []
    assert read_trust(two.there).why_version_barred(FIRST) is None
