"""The other two ways to sign, besides a local key: a certificate of an authority, and keyless Sigstore.

`trust.yaml` names who may (`certificates`, `identities`); SWITCHYARD_SIGNING says how this machine signs. A
signer's id is the first 16 hex digits of a SHA-256 over what names it, so that it is revoked as a key is.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from cryptography import x509

from registry.errors import KeyUnusable, RegistryError
from registry.keys import TrustedKey
from registry.settings import RegistrySettings

AUTHORITIES = "authorities"
SIGSTORE_TRUST = "sigstore-trust.json"
AUDIENCE = "sigstore"  # for whom a workflow's identity token is
OIDC_ISSUER = x509.ObjectIdentifier("1.3.6.1.4.1.57264.1.1")  # Fulcio's oid-info.md


@dataclass(frozen=True, slots=True)
class TrustedCertificate(TrustedKey):
    """Certificates that the authority at `path` issued to `identity`."""

    identity: str = field(kw_only=True)


@dataclass(frozen=True, slots=True)
class TrustedIdentity(TrustedKey):
    """Sigstore's certificates for `identity`, vouched for by `issuer` (OpenID Connect). `path` is a trust
    configuration of one's own, where that file exists; else Sigstore's public one is asked for."""

    identity: str = field(kw_only=True)
    issuer: str = field(kw_only=True)


def signer_id(*named: str) -> str:
    """What stands for a key id: SHA-256 over the names that make up this signer, one a line."""
    return sha256("\n".join(named).encode()).hexdigest()[:16]


def certified(bundle: Any, trusted: Sequence[TrustedKey]) -> TrustedKey | None:
    """The trusted signer whose name the bundle's certificate carries; nothing is verified by that.

    Raises ValueError, whatever cryptography raises, for what is no certificate.
    """
    leaf = _leaf(bundle)
    names = _names(leaf)
    if getattr(bundle.verification_material, "certificate", None) is None:
        chained = (key for key in trusted if isinstance(key, TrustedCertificate))
        return next((key for key in chained if key.identity in names), None)
    keyless = (key for key in trusted if isinstance(key, TrustedIdentity) and key.identity in names)
    return next((key for key in keyless if key.issuer == _issuer(leaf)), None)


def has_certificate(bundle: Any) -> bool:
    """Was it signed by a certificate, and not by a bare key?"""
    material = bundle.verification_material
    return bool(getattr(material, "certificate", None) or getattr(material, "x509_certificate_chain", None))


def signed_manifest(bundle: Any, signature: Path, key: TrustedKey) -> Any:
    """What `key` signed, after the signature itself was checked. Raises whatever the library raises."""
    from model_signing._signing import sign_certificate, sign_ec_key, sign_sigstore, sign_sigstore_pb

    if isinstance(key, TrustedIdentity):
        verifier = sign_sigstore.Verifier(
            identity=key.identity, oidc_issuer=key.issuer, trust_config=_trust_config(key.path)
        )
        return verifier.verify(sign_sigstore.Signature.read(signature))
    if isinstance(key, TrustedCertificate):
        leaf, now = _leaf(bundle), datetime.now(UTC)
        # The library takes the certificate's own first day for today, so an expired one would pass.
        if not leaf.not_valid_before_utc <= now < leaf.not_valid_after_utc:
            raise ValueError(f"its certificate is valid until {leaf.not_valid_after_utc.isoformat()}")
        return sign_certificate.Verifier([key.path]).verify(sign_sigstore_pb.Signature(bundle))
    return sign_ec_key.Verifier(key.path).verify(sign_sigstore_pb.Signature(bundle))


def configured(config: Any, settings: RegistrySettings) -> Any:
    """model-signing's `config` with the signer that SWITCHYARD_SIGNING asks for: `certificate` or `keyless`.

    Raises `KeyUnusable` for settings that are missing, or a Sigstore that cannot be reached.
    """
    if settings.signing == "certificate":
        if settings.signing_key is None or settings.signing_certificate is None:
            raise KeyUnusable(
                "SWITCHYARD_SIGNING=certificate: expected SWITCHYARD_SIGNING_KEY and "
                "SWITCHYARD_SIGNING_CERTIFICATE (PEM files), got one of them or none; set both"
            )
        # The library reads no empty chain; the certificate itself adds nothing to it.
        chain = [settings.signing_chain or settings.signing_certificate]
        return config.use_certificate_signer(
            private_key=settings.signing_key,
            signing_certificate=settings.signing_certificate,
            certificate_chain=chain,
        )
    with sigstore_errors(settings):
        from sigstore.oidc import detect_credential

        token = detect_credential(AUDIENCE)
        own = _trust_config(settings.keys_dir / SIGSTORE_TRUST)
        signer = config.use_sigstore_signer(identity_token=token, client_id=AUDIENCE, trust_config=own)
        # Left to itself the library would open a browser, and wait for whoever sits there.
        if not token:
            raise KeyUnusable(
                "SWITCHYARD_SIGNING=keyless: expected the identity of a workflow, got none; run it in a job "
                "with `permissions: id-token: write`"
            )
        return signer


@contextmanager
def sigstore_errors(settings: RegistrySettings | None) -> Iterator[None]:
    """Whatever Sigstore, its services and the way to them raise while signing becomes `KeyUnusable`."""
    try:
        yield
    except Exception as error:
        if settings is None or settings.signing != "keyless" or isinstance(error, RegistryError):
            raise
        advice = (
            "the job needs `permissions: id-token: write`"
            if "oidc" in type(error).__module__
            else f"it needs the network, or keys/{SIGSTORE_TRUST} with a trust configuration of your own"
        )
        raise KeyUnusable(
            f"SWITCHYARD_SIGNING=keyless: Sigstore cannot be used ({type(error).__name__}); {advice}"
        ) from error


def _trust_config(path: Path) -> Path | None:
    return path if path.is_file() else None


def _leaf(bundle: Any) -> x509.Certificate:
    material = bundle.verification_material
    single = getattr(material, "certificate", None)
    raw = (single or material.x509_certificate_chain.certificates[0]).raw_bytes
    return x509.load_der_x509_certificate(raw)


def _issuer(leaf: x509.Certificate) -> str:
    """On whose word Sigstore certified it: the first of two extensions that hold the same."""
    try:
        return leaf.extensions.get_extension_for_oid(OIDC_ISSUER).value.public_bytes().decode()
    except x509.ExtensionNotFound:
        return ""


def _names(leaf: x509.Certificate) -> set[str]:
    """Mail addresses, URIs and DNS names of a certificate."""
    try:
        found = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return set()
    kinds = (x509.RFC822Name, x509.UniformResourceIdentifier, x509.DNSName)
    return {str(name) for kind in kinds for name in found.get_values_for_type(kind)}
