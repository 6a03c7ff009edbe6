"""The signing key pair of this machine, and the public keys that it trusts for loading.

`keys/model-signing.pem` (0600) and `keys/model-signing.pub.pem` are made at first use; every other
signer's public key goes into `keys/trusted/`. ECDSA on P-256, as OpenSSF model-signing expects.
"""

import os
import tempfile
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from registry.errors import KeyUnusable

PRIVATE = "model-signing.pem"
PUBLIC = "model-signing.pub.pem"
TRUSTED = "trusted"
CURVES = ("secp256r1", "secp384r1", "secp521r1")


@dataclass(frozen=True, slots=True)
class SigningKeys:
    """Where the two halves lie; `key_id` is the first 16 hex digits of SHA-256 of the public key's DER."""

    private_key: Path
    public_key: Path
    key_id: str


@dataclass(frozen=True, slots=True)
class TrustedKey:
    """One public key that may vouch for a package. `hint` is what model-signing writes into a bundle.

    `barred` says why it may not vouch for what is being verified, or is None.
    """

    path: Path
    key_id: str
    hint: str
    barred: str | None = None


def ensure_signing_keys(keys_dir: Path) -> SigningKeys:
    """The key pair, made at first use. Safe when several processes come at once: one pair wins.

    Raises `KeyUnusable` when others can read the private half, or the halves are no pair.
    """
    private, public = keys_dir / PRIVATE, keys_dir / PUBLIC
    if not private.exists():
        if public.exists():
            raise KeyUnusable(
                f"keys/{PRIVATE}: expected the private half of keys/{PUBLIC}, got no such file; sign where "
                f"it is, or move keys/{PUBLIC} to keys/{TRUSTED}/ and let a new pair be made"
            )
        keys_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        _write_once(private, _private_pem(ec.generate_private_key(ec.SECP256R1())))
    if (mode := private.stat().st_mode & 0o777) & 0o077:
        raise KeyUnusable(
            f"keys/{PRIVATE}: expected mode 0600, got {mode:04o}: others can sign; replace the key, or run "
            f"`chmod 600` on it if nobody can have read it"
        )
    derived = _load_private(private).public_key()
    # Derived anew after a crash between the two writes; who wrote it does not matter, the bytes are the same.
    if not public.exists():
        _write_once(public, _public_pem(derived))
    if _load_public(public).public_numbers() != derived.public_numbers():
        raise KeyUnusable(
            f"keys/{PUBLIC}: expected the public half of keys/{PRIVATE}, got another key; delete it"
        )
    return SigningKeys(private, public, key_id_of(derived))


def trusted_keys(keys_dir: Path) -> tuple[TrustedKey, ...]:
    """Every public key trusted for loading: this machine's own, then `trusted/*.pem` by name.

    Raises `KeyUnusable` when there is none, or when one of the files is no such key.
    """
    own = keys_dir / PUBLIC
    paths = ([own] if own.is_file() else []) + sorted((keys_dir / TRUSTED).glob("*.pem"))
    if not paths:
        raise KeyUnusable(
            f"keys/: expected {PUBLIC} or {TRUSTED}/*.pem, got no public key to verify models with; "
            f"copy the signer's public key to keys/{TRUSTED}/, or train here: `switchyard train <usecase>`"
        )
    return tuple(_trusted(path) for path in paths)


def key_id_of(key: ec.EllipticCurvePublicKey) -> str:
    """First 16 hex digits of the SHA-256 of the key's DER form (SubjectPublicKeyInfo)."""
    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return sha256(der).hexdigest()[:16]


def _trusted(path: Path) -> TrustedKey:
    key = _load_public(path)
    return TrustedKey(path, key_id_of(key), sha256(_public_pem(key)).hexdigest())


def _load_private(path: Path) -> ec.EllipticCurvePrivateKey:
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm, OSError) as error:
        raise KeyUnusable(
            f"keys/{path.name}: expected an EC private key in PEM, got something else"
        ) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name not in CURVES:
        raise KeyUnusable(f"keys/{path.name}: expected an EC key on {' or '.join(CURVES)}, got another kind")
    return key


def _load_public(path: Path) -> ec.EllipticCurvePublicKey:
    try:
        key = serialization.load_pem_public_key(path.read_bytes())
    except (ValueError, TypeError, UnsupportedAlgorithm, OSError) as error:
        raise KeyUnusable(
            f"keys/{path.name}: expected an EC public key in PEM, got something else"
        ) from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name not in CURVES:
        raise KeyUnusable(f"keys/{path.name}: expected an EC key on {' or '.join(CURVES)}, got another kind")
    return key


def _private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _public_pem(key: ec.EllipticCurvePublicKey) -> bytes:
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def _write_once(path: Path, content: bytes) -> None:
    """Write a whole file of mode 0600 unless there is one already: `link` fails where `replace` would not."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".key-")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(temporary, path)
        except FileExistsError:
            return
    finally:
        temporary.unlink()
