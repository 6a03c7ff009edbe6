"""The signing key pair, and the keys trusted for loading."""

import hashlib
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from registry.errors import KeyUnusable
from registry.keys import PRIVATE, PUBLIC, TRUSTED, ensure_signing_keys, trusted_keys


def test_the_pair_is_made_once_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    first = ensure_signing_keys(tmp_path / "keys")
    assert ensure_signing_keys(tmp_path / "keys") == first
    assert first.private_key.stat().st_mode & 0o777 == 0o600
    assert first.public_key.stat().st_mode & 0o777 == 0o600
    assert sorted(p.name for p in (tmp_path / "keys").iterdir()) == [PRIVATE, PUBLIC]


def test_the_key_id_is_what_openssl_and_sha256_say(tmp_path: Path) -> None:
    made = ensure_signing_keys(tmp_path)
    public = serialization.load_pem_public_key(made.public_key.read_bytes())
    der = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    assert made.key_id == hashlib.sha256(der).hexdigest()[:16]
    assert trusted_keys(tmp_path)[0].key_id == made.key_id


def test_threads_that_come_at_once_get_one_and_the_same_pair(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: ensure_signing_keys(tmp_path), range(8)))
    assert len(set(made)) == 1
    assert ensure_signing_keys(tmp_path) == made[0]


def test_a_crash_between_the_two_files_is_repaired(tmp_path: Path) -> None:
    made = ensure_signing_keys(tmp_path)
    made.public_key.unlink()
    assert ensure_signing_keys(tmp_path) == made
    assert made.public_key.is_file()


def test_a_private_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    ensure_signing_keys(tmp_path).private_key.chmod(0o640)
    with pytest.raises(KeyUnusable, match=r"expected mode 0600, got 0640.*chmod 600"):
        ensure_signing_keys(tmp_path)


def test_a_public_half_alone_is_never_overwritten(tmp_path: Path) -> None:
    made = ensure_signing_keys(tmp_path)
    before = made.public_key.read_bytes()
    made.private_key.unlink()
    with pytest.raises(KeyUnusable, match=r"expected the private half .* got no such file"):
        ensure_signing_keys(tmp_path)
    assert made.public_key.read_bytes() == before


def test_halves_of_two_pairs_are_refused(tmp_path: Path) -> None:
    made = ensure_signing_keys(tmp_path / "a")
    other = ensure_signing_keys(tmp_path / "b")
    made.public_key.write_bytes(other.public_key.read_bytes())
    with pytest.raises(KeyUnusable, match="got another key"):
        ensure_signing_keys(tmp_path / "a")


@pytest.mark.parametrize(
    "content", [b"", b"not a key", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----"]
)
def test_a_broken_private_key_is_refused_without_echoing_it(tmp_path: Path, content: bytes) -> None:
    made = ensure_signing_keys(tmp_path)
    made.private_key.write_bytes(content)
    with pytest.raises(KeyUnusable, match="expected an EC private key in PEM") as caught:
        ensure_signing_keys(tmp_path)
    assert "AAAA" not in str(caught.value)


@pytest.mark.parametrize(
    "key", [ed25519.Ed25519PrivateKey.generate(), ec.generate_private_key(ec.SECP256K1())]
)
def test_a_trusted_key_of_another_kind_is_refused(tmp_path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    (tmp_path / TRUSTED).mkdir()
    (tmp_path / TRUSTED / "odd.pem").write_bytes(
        key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    with pytest.raises(KeyUnusable, match=r"odd\.pem: expected an EC key"):
        trusted_keys(tmp_path)


def test_without_any_public_key_loading_says_where_one_belongs(tmp_path: Path) -> None:
    with pytest.raises(KeyUnusable, match=r"copy the signer's public key to keys/trusted/"):
        trusted_keys(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()


def test_several_signers_are_trusted_in_a_stable_order(tmp_path: Path) -> None:
    own = ensure_signing_keys(tmp_path / "own")
    ids: list[str] = []
    (tmp_path / "own" / TRUSTED).mkdir()
    for name in ("b", "a"):
        other = ensure_signing_keys(tmp_path / name)
        (tmp_path / "own" / TRUSTED / f"{name}.pem").write_bytes(other.public_key.read_bytes())
        ids.insert(0, other.key_id)
    assert [key.key_id for key in trusted_keys(tmp_path / "own")] == [own.key_id, *ids]


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs the openssl command")
def test_openssl_gives_our_key_id(tmp_path: Path) -> None:
    made = ensure_signing_keys(tmp_path)
    der = subprocess.run(
        ["openssl", "pkey", "-pubin", "-in", str(made.public_key), "-outform", "DER"],
        capture_output=True,
        check=True,
    ).stdout
    assert hashlib.sha256(der).hexdigest()[:16] == made.key_id
