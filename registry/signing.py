"""Signs a package folder and verifies one: OpenSSF model-signing, elliptic-curve keys.

The bundle (`model.sig`) is the standard one, and the public `model_signing` tool verifies it too. Ours
is stricter where that tool takes the signature's word: what may lie outside the signature is
`model.sig` alone, links are never followed, and the bundle must be in its canonical form, so that not
a byte of it can change unseen.
"""

import json
import tempfile
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm

from registry.contents import hash_files
from registry.errors import KeyUnusable, PackageInvalid, PackageRefused, SignatureRefused
from registry.keys import TrustedKey
from registry.packages import (
    _SEAL,
    MANIFEST,
    SIGNATURE,
    PackageManifest,
    VerifiedPackage,
    package_digest,
    parse_manifest,
    read_regular,
)
from registry.settings import RegistrySettings
from registry.signers import (
    TrustedIdentity,
    certified,
    configured,
    has_certificate,
    signed_manifest,
    sigstore_errors,
)

MAX_SIGNATURE_BYTES = 1_000_000


def sign_package(folder: Path, private_key: Path, settings: RegistrySettings | None = None) -> str:
    """Sign every file of `folder` into its `model.sig` (replacing one), and return the package's digest.

    `private_key` is the path of a PEM file; `settings` may ask for a certificate or Sigstore instead.
    Raises `PackageInvalid` or `PackageRefused` when the folder cannot be a package, `KeyUnusable`
    when the key cannot sign.
    """
    from model_signing import hashing, signing  # takes over a second: not at import

    shown = f"'{folder.name}'"
    files = hash_files(folder, shown)
    _checked_manifest(folder, files, shown)
    ours = hashing.Config().set_ignored_paths(paths=[SIGNATURE], ignore_git_paths=False)
    try:
        config = signing.Config().set_hashing_config(ours)
        if settings is None or settings.signing == "key":
            signer = config.use_elliptic_key_signer(private_key=private_key)
        else:
            signer = configured(config, settings)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        which = f"keys/{private_key.name}"
        if settings is not None and settings.signing == "certificate":
            which = "SWITCHYARD_SIGNING_KEY with its certificate"
        raise KeyUnusable(f"{which}: expected an EC private key, got none that signs") from error
    # Beside the folder, since a half-written file inside it would be one that nobody signed.
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".signing-") as scratch:
        written = Path(scratch) / SIGNATURE
        with sigstore_errors(settings):
            signer.sign(folder, written)
        written.replace(folder / SIGNATURE)
    return package_digest(files)


def verify_package(folder: Path, trusted: Sequence[TrustedKey], expected_name: str) -> VerifiedPackage:
    """Check that a trusted key signed exactly these files as model `expected_name`.

    Raises `SignatureRefused` (missing, broken, unknown key, hides files) or `PackageRefused` (a file
    changed, added, missing, linked, or another model's package); both name file, expected and got.
    """
    shown = f"'{expected_name}' ({folder.name})"
    bundle = _read_bundle(folder / SIGNATURE, shown)
    key = _signer(bundle, trusted, shown)
    signed = _signed_files(bundle, key, shown, folder / SIGNATURE)
    _compare(signed, hash_files(folder, shown), shown)
    manifest = _checked_manifest(folder, signed, shown)
    if manifest.name != expected_name:
        expected, got = f"a package signed as '{expected_name}'", f"one signed as '{manifest.name}'"
        raise PackageRefused(shown, MANIFEST, expected, got)
    return VerifiedPackage(folder, signed, manifest, key.key_id, seal=_SEAL)


def _read_bundle(path: Path, shown: str) -> Any:  # a sigstore_models Bundle; model_signing ships no types
    from model_signing._signing import sign_sigstore_pb  # takes over a second: not at import

    if path.is_symlink() or not path.is_file():
        got = (
            "a symbolic link"
            if path.is_symlink()
            else "no such file (unsigned, or its signature was removed)"
        )
        raise SignatureRefused(shown, SIGNATURE, "a signature", got)
    if (size := path.stat().st_size) > MAX_SIGNATURE_BYTES:
        raise SignatureRefused(shown, SIGNATURE, f"at most {MAX_SIGNATURE_BYTES} bytes", f"{size} bytes")
    try:
        text = path.read_text(encoding="utf-8")
        bundle = sign_sigstore_pb.Signature.read(path).bundle
        canonical = bundle.to_json() == text
    except Exception as error:  # whatever a parser makes of hostile bytes is a refusal
        got = f"something else ({type(error).__name__} while reading it)"
        raise SignatureRefused(shown, SIGNATURE, "a Sigstore bundle", got) from error
    if not canonical:
        raise SignatureRefused(shown, SIGNATURE, "a bundle in canonical form", "one that was edited")
    return bundle


def _signer(bundle: Any, trusted: Sequence[TrustedKey], shown: str) -> TrustedKey:
    if has_certificate(bundle):
        return _allowed(_certified(bundle, trusted, shown), shown)
    public_key = getattr(bundle.verification_material, "public_key", None)
    hint = getattr(public_key, "hint", None) or ""
    for key in trusted:
        if key.hint and key.hint == hint:
            return _allowed(key, shown)
    known = ", ".join(key.key_id for key in trusted) or "none"
    got = f"one by an unknown key (its PEM has SHA-256 {hint[:16]}…)" if hint else "one that names no key"
    advice = "if you know the signer, put the public key into keys/trusted/; if not, do not use this copy"
    raise SignatureRefused(shown, SIGNATURE, f"a signature by a trusted key ({known})", got, advice)


def _certified(bundle: Any, trusted: Sequence[TrustedKey], shown: str) -> TrustedKey:
    try:
        key = certified(bundle, trusted)
    except Exception as error:  # whatever a parser makes of hostile bytes is a refusal
        raise SignatureRefused(
            shown, SIGNATURE, "a certificate", f"something else ({type(error).__name__})"
        ) from error
    if key is None:
        advice = "if you know the signer, add a line to trust.yaml; if not, do not use this copy"
        raise SignatureRefused(
            shown, SIGNATURE, "a certificate for a signer that trust.yaml names", "another name", advice
        )
    return key


def _allowed(key: TrustedKey, shown: str) -> TrustedKey:
    if key.barred:
        got = f"one by key {key.key_id}, which {key.barred}"
        advice = "place a version that a key in good standing signed; see `switchyard registry keys`"
        raise SignatureRefused(shown, SIGNATURE, "a signature that the trust policy allows", got, advice)
    return key


def _signed_files(bundle: Any, key: TrustedKey, shown: str, signature: Path) -> dict[str, str]:
    """Name -> SHA-256 of what `key` signed, after the signature itself was checked."""
    # The public verifying.Config adds the signature's own ignore list to ours; its verifiers, one
    # layer down, only check the signature and hand out what was signed.
    try:
        material, envelope = bundle.verification_material, bundle.dsse_envelope
        witnesses = ("tlog_entries", "timestamp_verification_data")  # Sigstore's, and what it verifies itself
        keyless = isinstance(key, TrustedIdentity)
        outside = [] if keyless else [getattr(material, w, None) for w in witnesses]
        hint = None if keyless else ""  # what the library writes for each
        plain = [signature.keyid for signature in envelope.signatures] == [hint] and not any(outside)
        manifest = signed_manifest(bundle, signature, key)
        how = dict(manifest.serialization_type)
        signed = {item.identifier: item.digest for item in manifest.resource_descriptors()}
        files = {name: digest.digest_hex for name, digest in signed.items() if digest.algorithm == "sha256"}
    except Exception as error:  # whatever a verifier makes of hostile bytes, too
        got = f"one that does not fit it ({type(error).__name__})"
        raise SignatureRefused(shown, SIGNATURE, f"a valid signature by key {key.key_id}", got) from error
    if not plain:
        raise SignatureRefused(shown, SIGNATURE, "one signature and nothing beside it", "unsigned additions")
    if hidden := sorted(set(how.pop("ignore_paths", [])) - {SIGNATURE}):
        got = f"a signature that ignores {', '.join(hidden)}"
        raise SignatureRefused(shown, SIGNATURE, f"all files but {SIGNATURE} signed", got)
    if how != {"method": "files", "hash_type": "sha256", "allow_symlinks": False} or len(files) != len(
        signed
    ):
        got = json.dumps(how, sort_keys=True, default=str)
        raise SignatureRefused(shown, SIGNATURE, "SHA-256 of whole files, no links", got)
    return files


def _compare(signed: Mapping[str, str], found: Mapping[str, str], shown: str) -> None:
    for name in sorted(signed.keys() | found.keys()):
        if name not in found:
            raise PackageRefused(shown, name, f"a file with SHA-256 {signed[name]}", "no such file")
        if name not in signed:
            raise PackageRefused(shown, name, "only files that were signed", "a file that was added")
        if signed[name] != found[name]:
            raise PackageRefused(shown, name, f"SHA-256 {signed[name]}", f"{found[name]} (its bytes changed)")


def _checked_manifest(folder: Path, files: Mapping[str, str], shown: str) -> PackageManifest:
    """package.json of these very bytes; each file that it names is there."""
    if MANIFEST not in files:
        raise PackageInvalid(f"package {shown}: {MANIFEST}: expected a manifest, got no such file")
    try:
        raw = read_regular(folder / MANIFEST)
    except OSError as error:
        raise PackageRefused(shown, MANIFEST, "a readable file", error.strerror or "none") from error
    # It was hashed a moment ago; hashed again, so that nobody swaps it in between.
    if (got := sha256(raw).hexdigest()) != files[MANIFEST]:
        raise PackageRefused(shown, MANIFEST, f"SHA-256 {files[MANIFEST]}", f"{got} (its bytes changed)")
    manifest = parse_manifest(raw, f"package {shown}: {MANIFEST}")
    if missing := sorted(set(manifest.files) - set(files)):
        raise PackageInvalid(
            f"package {shown}: {MANIFEST}: files: expected in the package, got none: {', '.join(missing)}"
        )
    return manifest
