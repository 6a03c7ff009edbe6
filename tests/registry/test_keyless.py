"""Keyless: whom a Sigstore certified and logged may sign, if trust.yaml names identity and issuer.

Signing goes over HTTP to a Sigstore of the test's own, with the credential that GitHub gives a job; what is
then verified is verified without it.
"""

import json
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any

import pytest

from registry.errors import KeyUnusable, PackageRefused, SignatureRefused
from registry.settings import RegistrySettings
from registry.signers import signer_id
from registry.signing import sign_package, verify_package
from registry.trust import Revocations, RevokedKey
from registry.trust_files import keys_for, revoke
from tests.registry.conftest import NAME, MakePackage
from tests.registry.sigstore_here import ISSUER, WORKFLOW, SigstoreHere

OTHER_WORKFLOW = WORKFLOW.replace("main", "not-reviewed")
OTHER_ISSUER = "https://accounts.other.example"
Sign = Callable[..., Path]


@pytest.fixture
def sigstore() -> SigstoreHere:
    return SigstoreHere()


@pytest.fixture
def home(tmp_path: Path) -> RegistrySettings:
    """A machine without a key, which trusts one workflow of one issuer."""
    settings = RegistrySettings(home=tmp_path / "home", trust=tmp_path / "trust.yaml", signing="keyless")
    settings.keys_dir.mkdir(parents=True)
    settings.trust.write_text(
        "format_version: 1\nsigners: [{key: own, stages: [candidate]}]\n"
        f"identities: [{{issuer: '{ISSUER}', identity: '{WORKFLOW}', stages: [candidate, champion]}}]\n"
    )
    return settings


@pytest.fixture
def sign(
    sigstore: SigstoreHere, home: RegistrySettings, make_package: MakePackage, monkeypatch: pytest.MonkeyPatch
) -> Sign:
    """Signs a package in a job of GitHub's; when it is signed, no Sigstore answers any more."""

    def signed(by: SigstoreHere | None = None) -> Path:
        folder = make_package(sign=False)
        with (by or sigstore).running() as running:
            (home.keys_dir / "sigstore-trust.json").write_text(running.trust_config())
            for name, value in running.environment().items():
                monkeypatch.setenv(name, value)
            sign_package(folder, Path("no.pem"), home)
        (home.keys_dir / "sigstore-trust.json").write_text(sigstore.trust_config())
        return folder

    return signed


def refused(folder: Path, home: RegistrySettings) -> str:
    with pytest.raises(SignatureRefused) as said:
        verify_package(folder, keys_for(home, "champion"), NAME)
    return f"{said.value} / {said.value.__cause__}"


def test_the_workflow_that_trust_yaml_names_signs_and_is_verified_without_a_network(
    sign: Sign, home: RegistrySettings
) -> None:
    package = verify_package(sign(), keys_for(home, "champion"), NAME)
    assert package.key_id == signer_id("keyless", ISSUER, WORKFLOW)
    with pytest.raises(SignatureRefused, match="may not sign for stage 'canary'"):
        verify_package(package.root, keys_for(home, "canary"), NAME)


def test_a_certificate_that_ran_out_since_still_counts_if_it_was_valid_when_logged(
    sign: Sign, sigstore: SigstoreHere, home: RegistrySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They last ten minutes: the log's time stands for the moment of signing."""
    day = timedelta(days=1)

    class Yesterday(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]  # no subclass of its own
            return datetime.now(tz) - day

    monkeypatch.setattr("sigstore.sign.datetime", Yesterday)
    sigstore.certified = sigstore.certified[0] - day, sigstore.certified[1] - day
    sigstore.logged_at -= day
    assert verify_package(sign(), keys_for(home, "champion"), NAME)


def test_another_workflow_of_the_same_repository_is_refused(
    sign: Sign, sigstore: SigstoreHere, home: RegistrySettings
) -> None:
    sigstore.identity = OTHER_WORKFLOW
    assert "a certificate for a signer that trust.yaml names" in refused(sign(), home)


def test_the_same_name_on_the_word_of_another_issuer_is_refused(
    sign: Sign, sigstore: SigstoreHere, home: RegistrySettings
) -> None:
    sigstore.issuer = OTHER_ISSUER
    assert "a certificate for a signer that trust.yaml names" in refused(sign(), home)


def test_one_name_may_be_trusted_from_two_issuers_each_with_its_own_stages(
    sign: Sign, sigstore: SigstoreHere, home: RegistrySettings
) -> None:
    more = f"  - {{issuer: '{OTHER_ISSUER}', identity: '{WORKFLOW}', stages: [canary]}}\n"
    first = f"  - {{issuer: '{ISSUER}', identity: '{WORKFLOW}', stages: [champion]}}\n"
    head = home.trust.read_text().partition("identities:")[0]
    home.trust.write_text(f"{head}identities:\n{first}{more}")
    sigstore.issuer = OTHER_ISSUER
    package = verify_package(sign(), keys_for(home, "canary"), NAME)
    assert package.key_id == signer_id("keyless", OTHER_ISSUER, WORKFLOW)
    assert "may not sign for stage 'champion'" in refused(package.root, home)


@pytest.mark.parametrize("hours", [-1, 1], ids=["before", "after"])
def test_a_signature_logged_outside_the_time_of_its_certificate_is_refused(
    sign: Sign, sigstore: SigstoreHere, home: RegistrySettings, hours: int
) -> None:
    sigstore.logged_at += timedelta(hours=hours)
    assert "that does not fit it" in refused(sign(), home)


def test_a_sigstore_that_is_not_ours_vouches_for_nobody(sign: Sign, home: RegistrySettings) -> None:
    """The same names, another authority and other logs."""
    assert "that does not fit it" in refused(sign(SigstoreHere()), home)


@pytest.mark.parametrize("part", ["authority", "certificate_log", "log"])
def test_each_of_authority_certificate_log_and_log_must_be_ours(
    sign: Sign, sigstore: SigstoreHere, home: RegistrySettings, part: str
) -> None:
    folder = sign()
    other = SigstoreHere()
    if part == "authority":
        sigstore.authority, sigstore._root = other.authority, other._root
    else:
        setattr(sigstore, part, getattr(other, part))
    (home.keys_dir / "sigstore-trust.json").write_text(sigstore.trust_config())
    assert "that does not fit it" in refused(folder, home)


def test_a_certificate_that_was_never_logged_is_not_even_used(
    sign: Sign, sigstore: SigstoreHere, home: RegistrySettings
) -> None:
    sigstore.with_sct = False
    with pytest.raises(KeyUnusable, match="Sigstore"):
        sign()


def entry_of(bundle: dict[str, Any]) -> dict[str, Any]:
    entry: dict[str, Any] = bundle["verificationMaterial"]["tlogEntries"][0]
    return entry


def without_proof(bundle: dict[str, Any]) -> None:
    del entry_of(bundle)["inclusionProof"]


def without_checkpoint(bundle: dict[str, Any]) -> None:
    del entry_of(bundle)["inclusionProof"]["checkpoint"]


def without_entry(bundle: dict[str, Any]) -> None:
    bundle["verificationMaterial"]["tlogEntries"] = []


def without_promise(bundle: dict[str, Any]) -> None:
    del entry_of(bundle)["inclusionPromise"]


def another_tree(bundle: dict[str, Any]) -> None:
    entry_of(bundle)["inclusionProof"]["hashes"] = ["A" * 43 + "="]


def another_time(bundle: dict[str, Any]) -> None:
    entry_of(bundle)["integratedTime"] = str(int(entry_of(bundle)["integratedTime"]) + 1)


@pytest.mark.parametrize(
    "change", [without_proof, without_checkpoint, without_entry, without_promise, another_tree, another_time]
)
def test_what_the_log_does_not_prove_is_refused(
    sign: Sign, home: RegistrySettings, change: Callable[[dict[str, Any]], None]
) -> None:
    """Even in the form in which a library would have written it."""
    file = sign() / "model.sig"
    bundle = json.loads(file.read_text())
    change(bundle)
    assert rewritten(file, bundle)
    assert refused(file.parent, home)


def rewritten(file: Path, bundle: dict[str, Any]) -> bool:
    """As a library writes it; what no library reads is written as it is. True when the bytes changed."""
    import sigstore_models.bundle.v1 as models

    before, text = file.read_text(), json.dumps(bundle)
    with suppress(ValueError):
        text = str(models.Bundle.from_json(text).to_json())
    file.write_text(text)
    return text != before


def test_the_signature_of_one_package_is_none_for_another(sign: Sign, home: RegistrySettings) -> None:
    folder = sign()
    (folder / "model.onnx").write_bytes(b"other")
    with pytest.raises(PackageRefused, match=r"model\.onnx: expected SHA-256"):
        verify_package(folder, keys_for(home, "champion"), NAME)


def test_an_identity_is_revoked_by_its_id(sign: Sign, home: RegistrySettings) -> None:
    folder = sign()
    gone = RevokedKey(key=signer_id("keyless", ISSUER, WORKFLOW), reason="the repository was taken over")
    revoke(Revocations(revoked_keys=(gone,)), home)
    assert "was revoked: the repository was taken over" in refused(folder, home)


def test_without_the_credential_of_a_job_nobody_is_asked_to_open_a_browser(
    sigstore: SigstoreHere, home: RegistrySettings, make_package: MakePackage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    with sigstore.running():
        (home.keys_dir / "sigstore-trust.json").write_text(sigstore.trust_config())
        with pytest.raises(KeyUnusable, match="id-token: write"):
            sign_package(make_package(sign=False), Path("no.pem"), home)
        monkeypatch.setenv("GITHUB_ACTIONS", "true")
        monkeypatch.delenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN", raising=False)
        with pytest.raises(KeyUnusable, match="id-token: write"):
            sign_package(make_package(sign=False), Path("no.pem"), home)


def test_a_sigstore_that_goes_away_while_signing_leaves_no_signature(
    sigstore: SigstoreHere, home: RegistrySettings, make_package: MakePackage, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_package(sign=False)
    monkeypatch.setattr(sigstore, "_entry", lambda proposed: None)
    with sigstore.running():
        (home.keys_dir / "sigstore-trust.json").write_text(sigstore.trust_config())
        for name, value in sigstore.environment().items():
            monkeypatch.setenv(name, value)
        with pytest.raises(KeyUnusable, match="Sigstore"):
            sign_package(folder, Path("no.pem"), home)
    assert not (folder / "model.sig").exists()
