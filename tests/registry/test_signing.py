"""What a signature is worth: anything that differs from what a trusted key signed is refused."""

import base64
import json
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from registry import contents, signing
from registry.errors import KeyUnusable, PackageInvalid, PackageRefused, SignatureRefused
from registry.keys import SigningKeys, TrustedKey, ensure_signing_keys, trusted_keys
from registry.signing import sign_package, verify_package
from tests.registry.conftest import NAME, MakePackage, write_package

Trusted = tuple[TrustedKey, ...]


def test_a_signed_package_verifies_and_names_its_signer(
    make_package: MakePackage, keys: SigningKeys, trusted: Trusted
) -> None:
    folder = make_package(sign=False)
    digest = sign_package(folder, keys.private_key)
    package = verify_package(folder, trusted, NAME)
    assert package.digest == digest
    assert package.key_id == keys.key_id
    assert set(package.files) == {
        "model.onnx",
        "parts/vocabulary.json",
        "evidence.json",
        "model_card.md",
        "package.json",
    }


def test_signing_again_replaces_the_signature_and_keeps_the_digest(
    make_package: MakePackage, keys: SigningKeys, trusted: Trusted
) -> None:
    folder = make_package()
    before = verify_package(folder, trusted, NAME).digest
    assert sign_package(folder, keys.private_key) == before
    assert verify_package(folder, trusted, NAME).digest == before
    assert [p.name for p in folder.parent.iterdir()] == ["package"]


def _link(path: Path) -> None:
    """Replace a file by a link to the very same bytes."""
    aside = path.parent.parent / "aside"
    shutil.move(path, aside)
    path.symlink_to(aside)


TAMPERINGS: dict[str, tuple[Callable[[Path], object], str]] = {
    "changed byte": (
        lambda f: (f / "model.onnx").write_bytes(b"\1" + (f / "model.onnx").read_bytes()[1:]),
        r"model\.onnx: expected SHA-256 [0-9a-f]{64}, got [0-9a-f]{64}",
    ),
    "truncated file": (lambda f: (f / "model.onnx").write_bytes(b""), r"model\.onnx: expected SHA-256"),
    "changed card": (
        lambda f: (f / "model_card.md").write_text("# Better\n"),
        r"model_card\.md: expected SHA-256",
    ),
    "changed evidence": (
        lambda f: (f / "evidence.json").write_text("{}"),
        r"evidence\.json: expected SHA-256",
    ),
    "changed manifest": (
        lambda f: (f / "package.json").write_text((f / "package.json").read_text().replace("0.8", "0.1")),
        r"package\.json: expected SHA-256",
    ),
    "added file": (
        lambda f: (f / "extra.json").write_text("{}"),
        r"extra\.json: expected only files that were signed",
    ),
    "added hidden file": (lambda f: (f / ".gitignore").write_text("*"), r"\.gitignore"),
    "added file in a folder that signers ignore by habit": (
        lambda f: shutil.copytree(f / "parts", f / ".git"),
        r"\.git/vocabulary\.json",
    ),
    "added pickle": (lambda f: (f / "model.pkl").write_bytes(b"\x80\4."), r"model\.pkl: expected data"),
    "added code": (
        lambda f: (f / "parts" / "__init__.py").write_text(""),
        r"parts/__init__\.py: expected data",
    ),
    "second signature file": (lambda f: (f / "parts" / "model.sig").write_text("{}"), r"parts/model\.sig"),
    "missing file": (
        lambda f: (f / "evidence.json").unlink(),
        r"evidence\.json: expected a file .* got no such file",
    ),
    "renamed file": (lambda f: (f / "model.onnx").rename(f / "model2.onnx"), r"model\.onnx: expected a file"),
    "linked file": (
        lambda f: _link(f / "model.onnx"),
        r"model\.onnx: expected a regular file, got a symbolic link",
    ),
    "linked folder": (lambda f: _link(f / "parts"), r"parts: expected a regular file, got a symbolic link"),
    "added link": (
        lambda f: (f / "more.json").symlink_to("evidence.json"),
        r"more\.json: .* got a symbolic link",
    ),
    "pipe": (lambda f: os.mkfifo(f / "pipe.json"), r"pipe\.json: expected a regular file, got a pipe"),
    "odd name": (lambda f: (f / "a\nb.json").write_text("{}"), r"a\\nb\.json'?: expected a name"),
    "missing signature": (
        lambda f: (f / "model.sig").unlink(),
        r"model\.sig: expected a signature, got no such file",
    ),
    "linked signature": (
        lambda f: _link(f / "model.sig"),
        r"model\.sig: expected a signature, got a symbolic link",
    ),
    "empty signature": (
        lambda f: (f / "model.sig").write_text(""),
        r"model\.sig: expected a Sigstore bundle",
    ),
    "signature of another type": (
        lambda f: (f / "model.sig").write_text("[]"),
        r"model\.sig: expected a Sigstore",
    ),
    "deeply nested signature": (
        lambda f: (f / "model.sig").write_text("[" * 90_000),
        r"model\.sig: expected a Sig",
    ),
    "huge signature": (
        lambda f: (f / "model.sig").write_bytes(b" " * 1_000_001),
        r"model\.sig: expected at most",
    ),
    "reformatted signature": (
        lambda f: (f / "model.sig").write_text(
            json.dumps(json.loads((f / "model.sig").read_text()), indent=1)
        ),
        r"model\.sig: expected a bundle in canonical form",
    ),
}


@pytest.mark.parametrize("tampering", TAMPERINGS)
def test_a_tampered_package_is_refused_and_the_error_says_which_file(
    make_package: MakePackage, trusted: Trusted, tampering: str
) -> None:
    change, said = TAMPERINGS[tampering]
    folder = make_package()
    verify_package(folder, trusted, NAME)
    change(folder)
    with pytest.raises(PackageRefused, match=said) as caught:
        verify_package(folder, trusted, NAME)
    assert NAME in str(caught.value)
    assert "do not use this copy" in str(caught.value)
    assert (pickle.loads(pickle.dumps(caught.value)).args, caught.value.file) == (
        caught.value.args,
        caught.value.file,
    )


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory, keys: SigningKeys) -> Path:
    folder = write_package(tmp_path_factory.mktemp("flip") / "package")
    sign_package(folder, keys.private_key)
    return folder


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_single_flipped_bit_in_any_file_is_refused(
    original: Path, trusted: Trusted, data: st.DataObject
) -> None:
    names = sorted(p.relative_to(original).as_posix() for p in original.rglob("*") if p.is_file())
    path = original / data.draw(st.sampled_from(names))
    intact = path.read_bytes()
    spoilt = bytearray(intact)
    spoilt[data.draw(st.integers(0, len(intact) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    try:
        path.write_bytes(bytes(spoilt))
        with pytest.raises((PackageRefused, PackageInvalid)):
            verify_package(original, trusted, NAME)
    finally:
        path.write_bytes(intact)
    verify_package(original, trusted, NAME)


def test_no_byte_of_the_signature_file_may_differ(original: Path, trusted: Trusted) -> None:
    """Base64 and JSON have bytes that change nothing when decoded; not one of them may differ either."""
    path = original / "model.sig"
    intact = path.read_bytes()
    start = intact.index(b'"payload":"') + 11
    end = intact.index(b'"', start)
    signed = range(start, end - 8)  # every sixteenth byte of what is signed, every byte of the rest
    accepted = []
    try:
        for position in (p for p in range(len(intact)) if p not in signed or p % 16 == 0):
            path.write_bytes(intact[:position] + bytes([intact[position] ^ 1]) + intact[position + 1 :])
            try:
                verify_package(original, trusted, NAME)
                accepted.append(position)
            except PackageRefused:
                pass
    finally:
        path.write_bytes(intact)
    assert accepted == []


def test_a_package_of_another_model_is_refused_though_its_signature_is_valid(
    make_package: MakePackage, trusted: Trusted
) -> None:
    folder = make_package(name="other-model")
    verify_package(folder, trusted, "other-model")
    with pytest.raises(
        PackageRefused, match=rf"expected a package signed as '{NAME}', got one signed as 'other-model'"
    ):
        verify_package(folder, trusted, NAME)


def test_a_manifest_swapped_between_hashing_and_reading_is_refused(
    make_package: MakePackage, trusted: Trusted, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_package()
    loose = (folder / "package.json").read_bytes().replace(b"0.8", b"0.1")
    monkeypatch.setattr(signing, "read_regular", lambda path: loose)
    with pytest.raises(PackageRefused, match=r"package\.json: expected SHA-256 .* \(its bytes changed\)"):
        verify_package(folder, trusted, NAME)


def test_a_package_of_more_files_than_any_model_needs_is_refused(
    make_package: MakePackage, trusted: Trusted, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_package()
    monkeypatch.setattr(contents, "MAX_FILES", 5)
    verify_package(folder, trusted, NAME)
    monkeypatch.setattr(contents, "MAX_FILES", 4)
    with pytest.raises(PackageRefused, match="expected at most 4 files, got more"):
        verify_package(folder, trusted, NAME)


def test_a_folder_that_is_a_link_or_missing_is_refused(
    make_package: MakePackage, trusted: Trusted, keys: SigningKeys, tmp_path: Path
) -> None:
    folder = make_package()
    (tmp_path / "link").symlink_to(folder)
    with pytest.raises(PackageRefused, match="expected a folder, got a link"):
        verify_package(tmp_path / "link", trusted, NAME)
    with pytest.raises(PackageRefused, match="expected a folder, got no such folder"):
        sign_package(tmp_path / "nowhere", keys.private_key)


def test_a_signature_taken_from_another_package_is_refused(
    make_package: MakePackage, trusted: Trusted
) -> None:
    folder, other = make_package(), make_package(contract_version="another")
    shutil.copy(other / "model.sig", folder / "model.sig")
    with pytest.raises(PackageRefused, match=r"package\.json: expected SHA-256"):
        verify_package(folder, trusted, NAME)


def test_an_unknown_key_is_refused_until_its_public_half_is_trusted(
    make_package: MakePackage, trusted: Trusted, session_keys_dir: Path, tmp_path: Path
) -> None:
    stranger = ensure_signing_keys(tmp_path / "stranger")
    folder = make_package(sign=False)
    sign_package(folder, stranger.private_key)
    with pytest.raises(
        SignatureRefused, match=r"trusted key \([0-9a-f]{16}\), got one by an unknown key .*keys/trusted/"
    ):
        verify_package(folder, trusted, NAME)
    both = trusted + trusted_keys(tmp_path / "stranger")
    assert verify_package(folder, both, NAME).key_id == stranger.key_id


def _resigned(folder: Path, keys: SigningKeys, change: Callable[[dict[str, object]], None]) -> None:
    """What a signer with other habits (or bad intent, and a trusted key) could have signed."""
    bundle = json.loads((folder / "model.sig").read_text())
    statement = json.loads(base64.b64decode(bundle["dsseEnvelope"]["payload"]))
    change(statement)
    payload = json.dumps(statement).encode()
    kind = b"application/vnd.in-toto+json"
    signed = b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)
    private = serialization.load_pem_private_key(keys.private_key.read_bytes(), None)
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    signature = private.sign(signed, ec.ECDSA(hashes.SHA256()))
    bundle["dsseEnvelope"]["payload"] = base64.b64encode(payload).decode()
    bundle["dsseEnvelope"]["signatures"][0]["sig"] = base64.b64encode(signature).decode()
    (folder / "model.sig").write_text(json.dumps(bundle, separators=(",", ":")))


def _serialization(**changes: object) -> Callable[[dict[str, object]], None]:
    def change(statement: dict[str, object]) -> None:
        statement["predicate"]["serialization"].update(changes)  # type: ignore[index]  # JSON

    return change


def test_resigning_without_a_change_is_accepted(
    make_package: MakePackage, keys: SigningKeys, trusted: Trusted
) -> None:
    """Shows that the next test fails for the change alone."""
    folder = make_package()
    _resigned(folder, keys, lambda statement: None)
    verify_package(folder, trusted, NAME)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_serialization(ignore_paths=["model.sig", "extra.json"]), r"signature that ignores extra\.json"),
        (_serialization(ignore_paths=["model.sig", "."]), r"signature that ignores \."),
        (_serialization(allow_symlinks=True), r"SHA-256 of whole files, no links"),
        (_serialization(hash_type="blake2"), r"SHA-256 of whole files"),
        (_serialization(method="shards", shard_size=10), r"model\.sig"),
        (lambda s: s.update(predicateType="https://model_signing/Digests/v0.1"), r"model\.sig"),
        (lambda s: s["predicate"]["resources"].pop(), r"model\.sig"),
        (lambda s: s.update(subject=[]), r"model\.sig"),
    ],
)
def test_what_a_trusted_signature_says_to_ignore_or_follow_is_not_obeyed(
    make_package: MakePackage, keys: SigningKeys, trusted: Trusted, change: Callable[..., None], said: str
) -> None:
    folder = make_package()
    _resigned(folder, keys, change)
    (folder / "extra.json").write_text("{}")
    with pytest.raises(SignatureRefused, match=said):
        verify_package(folder, trusted, NAME)


def test_unsigned_additions_to_the_bundle_are_refused(make_package: MakePackage, trusted: Trusted) -> None:
    folder = make_package()
    bundle = json.loads((folder / "model.sig").read_text())
    bundle["dsseEnvelope"]["signatures"][0]["keyid"] = "someone-else"
    (folder / "model.sig").write_text(json.dumps(bundle, separators=(",", ":")))
    with pytest.raises(SignatureRefused, match="expected one signature and nothing beside it"):
        verify_package(folder, trusted, NAME)


@pytest.mark.parametrize("file", ["model.pkl", "run.py", "weights.bin", "no_suffix"])
def test_code_and_pickles_are_not_signed_either(
    make_package: MakePackage, keys: SigningKeys, file: str
) -> None:
    folder = make_package(sign=False)
    (folder / file).write_bytes(b"x")
    with pytest.raises(PackageRefused, match="expected data"):
        sign_package(folder, keys.private_key)
    assert not (folder / "model.sig").exists()


def test_a_folder_without_manifest_is_not_signed(tmp_path: Path, keys: SigningKeys) -> None:
    (tmp_path / "model.onnx").write_bytes(b"x")
    with pytest.raises(PackageInvalid, match=r"package\.json: expected a manifest, got no such file"):
        sign_package(tmp_path, keys.private_key)


@pytest.mark.parametrize("content", [None, b"", b"-----BEGIN EC PRIVATE KEY-----\nSECRET\n"])
def test_a_key_that_cannot_sign_is_named_and_not_shown(
    make_package: MakePackage, tmp_path: Path, content: bytes | None
) -> None:
    key = tmp_path / "broken.pem"
    if content is not None:
        key.write_bytes(content)
    folder = make_package(sign=False)
    with pytest.raises(KeyUnusable, match=r"keys/broken\.pem") as caught:
        sign_package(folder, key)
    assert "SECRET" not in str(caught.value)
    assert [p.name for p in folder.parent.iterdir()] == ["package"]


def test_the_public_tool_verifies_our_packages_without_our_code(
    make_package: MakePackage, keys: SigningKeys
) -> None:
    folder = make_package()
    command = [sys.executable, "-m", "model_signing", "verify", "key", str(folder)]
    options = ["--signature", str(folder / "model.sig"), "--public_key", str(keys.public_key)]
    options += ["--ignore-paths", str(folder / "model.sig")]
    good = subprocess.run([*command, *options], capture_output=True, text=True)
    assert good.returncode == 0, good.stdout + good.stderr
    (folder / "evidence.json").write_text("{}")
    assert subprocess.run([*command, *options], capture_output=True).returncode != 0


def test_a_package_signed_by_the_public_tool_verifies_here(
    make_package: MakePackage, keys: SigningKeys, trusted: Trusted
) -> None:
    folder = make_package(sign=False)
    command = [
        sys.executable,
        "-m",
        "model_signing",
        "sign",
        "key",
        str(folder),
        "--private_key",
        str(keys.private_key),
    ]
    options = ["--signature", str(folder / "model.sig"), "--ignore-paths", str(folder / "model.sig")]
    subprocess.run([*command, *options, "--no-ignore-git-paths"], check=True, capture_output=True)
    assert verify_package(folder, trusted, NAME).key_id == keys.key_id
