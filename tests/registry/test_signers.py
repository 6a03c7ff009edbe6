"""Certificates and keyless Sigstore: signed and verified by what trust.yaml names, and by nothing else."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from registry.errors import KeyUnusable, PackageRefused, SignatureRefused
from registry.settings import RegistrySettings
from registry.signers import TrustedIdentity, signed_manifest
from registry.signing import sign_package, verify_package
from registry.trust import Revocations, RevokedKey
from registry.trust_files import keys_for, revoke
from tests.registry.conftest import NAME, MakePackage

WHO = "https://ci.bank.example/train"
ISSUER = "https://token.actions.example"


class Authority:
    """A made authority; `issue` writes a key and its certificate beside it."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder, self.key = folder, ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.root = folder / f"{name}.pem"
        self.root.write_bytes(self._certificate(self.name, self.key.public_key(), None, 365, True))

    def issue(self, identity: str, from_days: int = -1, days: int = 30) -> tuple[Path, Path]:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "trainer")])
        private, public = self.folder / "leaf.key", self.folder / "leaf.pem"
        private.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        public.write_bytes(self._certificate(name, key.public_key(), identity, days, False, from_days))
        return private, public

    def _certificate(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePublicKey,
        identity: str | None,
        days: int,
        is_authority: bool,
        from_days: int = -400,
    ) -> bytes:
        begin = datetime.now(UTC) + timedelta(days=from_days)
        end = datetime.now(UTC) + timedelta(days=days)
        made = x509.CertificateBuilder().subject_name(subject).issuer_name(self.name).public_key(key)
        made = made.serial_number(x509.random_serial_number()).not_valid_before(begin).not_valid_after(end)
        made = made.add_extension(x509.BasicConstraints(is_authority, None), critical=True)
        usage = dict.fromkeys(
            ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "crl_sign",
             "encipher_only", "decipher_only"),
            False,
        )  # fmt: skip
        made = made.add_extension(
            x509.KeyUsage(digital_signature=not is_authority, key_cert_sign=is_authority, **usage),
            critical=True,
        )
        if identity:
            names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(identity)])
            made = made.add_extension(names, critical=False)
        return made.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    (tmp_path / "ca").mkdir()
    return Authority(tmp_path / "ca", "bank-root")


@pytest.fixture
def home(tmp_path: Path, authority: Authority) -> RegistrySettings:
    """A machine that trusts certificates of the bank's authority for one name, and has no key at all."""
    settings = RegistrySettings(home=tmp_path / "home", trust=tmp_path / "trust.yaml")
    (settings.keys_dir / "authorities").mkdir(parents=True)
    (settings.keys_dir / "authorities" / "bank-root.pem").write_bytes(authority.root.read_bytes())
    settings.trust.write_text(
        "format_version: 1\nsigners: [{key: own, stages: [candidate]}]\n"
        f"certificates: [{{authority: bank-root.pem, identity: '{WHO}', stages: [candidate, champion]}}]\n"
        f"identities: [{{issuer: '{ISSUER}', identity: '{WHO}', stages: [candidate]}}]\n"
    )
    return settings


def signed_by(authority: Authority, make_package: MakePackage, identity: str = WHO, **validity: int) -> Path:
    key, certificate = authority.issue(identity, **validity)
    how = RegistrySettings(signing="certificate", signing_key=key, signing_certificate=certificate)
    folder = make_package(sign=False)
    sign_package(folder, Path("no.pem"), how)
    return folder


def test_a_certificate_of_a_trusted_authority_signs_and_is_verified(
    authority: Authority, home: RegistrySettings, make_package: MakePackage
) -> None:
    package = verify_package(signed_by(authority, make_package), keys_for(home, "champion"), NAME)
    assert package.key_id == keys_for(home, "champion")[0].key_id
    with pytest.raises(SignatureRefused, match="may not sign for stage 'canary'"):
        verify_package(package.root, keys_for(home, "canary"), NAME)


def test_a_changed_file_is_refused_under_a_certificate_too(
    authority: Authority, home: RegistrySettings, make_package: MakePackage
) -> None:
    folder = signed_by(authority, make_package)
    (folder / "model.onnx").write_bytes(b"other")
    with pytest.raises(PackageRefused, match=r"model\.onnx: expected SHA-256"):
        verify_package(folder, keys_for(home, "champion"), NAME)


@pytest.mark.parametrize(
    ("sign", "why"),
    [
        (lambda a, m: signed_by(a, m, "https://ci.bank.example/other"), "a signer that trust.yaml names"),
        (lambda a, m: signed_by(a, m, from_days=-20, days=-10), "that does not fit it"),
        (lambda a, m: signed_by(a, m, from_days=10, days=20), "that does not fit it"),
        (lambda a, m: signed_by(Authority(a.folder, "bank-root"), m), "that does not fit it"),
    ],
    ids=["another name", "expired", "not yet valid", "another authority of that name"],
)
def test_certificates_that_nobody_vouches_for_are_refused(
    authority: Authority,
    home: RegistrySettings,
    make_package: MakePackage,
    sign: Callable[[Authority, MakePackage], Path],
    why: str,
) -> None:
    with pytest.raises(SignatureRefused, match=why):
        verify_package(sign(authority, make_package), keys_for(home, "champion"), NAME)


def test_a_named_signer_is_revoked_by_its_id(
    authority: Authority, home: RegistrySettings, make_package: MakePackage
) -> None:
    folder = signed_by(authority, make_package)
    key_id = verify_package(folder, keys_for(home, "champion"), NAME).key_id
    revoke(Revocations(revoked_keys=(RevokedKey(key=key_id, reason="stolen"),)), home)
    with pytest.raises(SignatureRefused, match="was revoked: stolen"):
        verify_package(folder, keys_for(home, "champion"), NAME)


def test_a_certificate_that_is_not_of_the_key_signs_nothing(
    authority: Authority, make_package: MakePackage
) -> None:
    key, certificate = authority.issue(WHO)
    certificate.write_bytes(authority.root.read_bytes())
    how = RegistrySettings(signing="certificate", signing_key=key, signing_certificate=certificate)
    with pytest.raises(KeyUnusable, match="SWITCHYARD_SIGNING_KEY with its certificate"):
        sign_package(make_package(sign=False), Path("no.pem"), how)
    with pytest.raises(KeyUnusable, match="SWITCHYARD_SIGNING_CERTIFICATE"):
        sign_package(make_package(sign=False), Path("no.pem"), RegistrySettings(signing="certificate"))


def test_keyless_asks_sigstore_with_the_identity_and_issuer_of_the_trust_policy(
    home: RegistrySettings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from model_signing._signing import sign_sigstore

    asked: dict[str, Any] = {}

    class Seen:
        def __init__(self, **given: Any) -> None:
            asked.update(given)

        def verify(self, signature: Any) -> str:
            return "what was signed"

    monkeypatch.setattr(sign_sigstore, "Verifier", Seen)
    monkeypatch.setattr(sign_sigstore.Signature, "read", lambda path: path)
    (key,) = (key for key in keys_for(home, "candidate") if isinstance(key, TrustedIdentity))
    assert signed_manifest(None, tmp_path / "model.sig", key) == "what was signed"
    assert asked == {"identity": WHO, "oidc_issuer": ISSUER, "trust_config": None}
    key.path.write_text("{}")
    signed_manifest(None, tmp_path / "model.sig", key)
    assert asked["trust_config"] == home.keys_dir / "sigstore-trust.json"


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """No network, whatever this machine has."""
    from sigstore.errors import TUFError
    from sigstore.models import ClientTrustConfig

    def refuse(*_: object, **__: object) -> None:
        raise TUFError("Failed to refresh TUF metadata")

    monkeypatch.setattr(ClientTrustConfig, "production", refuse)


@pytest.mark.usefixtures("offline")
def test_keyless_without_a_network_refuses_clearly(make_package: MakePackage) -> None:
    with pytest.raises(KeyUnusable, match=r"Sigstore cannot be used \(TUFError\); it needs the network"):
        sign_package(make_package(sign=False), Path("no.pem"), RegistrySettings(signing="keyless"))
