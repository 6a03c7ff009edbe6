"""A package's manifest, digest and the type that stands for verified bytes."""

import hashlib
import os
import pickle
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.errors import PackageInvalid, PackageRefused
from registry.keys import TrustedKey
from registry.packages import PackageManifest, VerifiedPackage, package_digest, parse_manifest
from registry.signing import sign_package, verify_package
from tests.registry.conftest import NAME, MakePackage

NAMES = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,8}", fullmatch=True)


def test_the_digest_is_what_the_documented_shell_line_prints(
    make_package: MakePackage, tmp_path: Path
) -> None:
    folder = make_package()
    line = r"find . -type f ! -path ./model.sig -printf '%P\n' | LC_ALL=C sort | xargs sha256sum | sha256sum"
    printed = subprocess.run(
        ["sh", "-c", line], cwd=folder, capture_output=True, text=True, check=True
    ).stdout
    files = {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and path.name != "model.sig"
    }
    assert printed.split()[0] == package_digest(files)


@given(st.dictionaries(NAMES, st.sampled_from(["a" * 64, "b" * 64]), min_size=1), st.randoms())
def test_the_digest_does_not_depend_on_order(files: dict[str, str], random: object) -> None:
    shuffled = list(files.items())
    random.shuffle(shuffled)  # type: ignore[attr-defined]  # hypothesis types its Random as object
    assert package_digest(dict(shuffled)) == package_digest(files)


@given(st.dictionaries(NAMES, st.sampled_from(["a" * 64, "b" * 64]), min_size=1, max_size=4), NAMES)
def test_other_names_or_other_bytes_give_another_digest(files: dict[str, str], name: str) -> None:
    changed = {**files, name: "c" * 64}
    assert package_digest(changed) != package_digest(files)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"name": "../escape"}, "name: "),
        ({"name": "Upper"}, "name: "),
        ({"format_version": 3}, "format_version: "),
        ({"labels": []}, "labels: "),
        ({"surprise": 1}, "surprise: "),
        (
            {"acceptance": {"threshold": -1, "max_error": 0.02, "confidence": 0.95, "method": "m"}},
            "acceptance.threshold",
        ),
        ({"acceptance": {"threshold": 0.5, "max_error": 0.02, "method": "m"}}, "acceptance.confidence"),
        ({"files": ["model.onnx", "gone.json"]}, r"files: expected in the package, got none: gone\.json"),
    ],
)
def test_a_wrong_manifest_is_not_signed_and_the_error_names_the_key(
    make_package: MakePackage, keys: object, changes: dict[str, object], said: str
) -> None:
    folder = make_package(sign=False, **changes)
    with pytest.raises(PackageInvalid, match=said):
        sign_package(folder, keys.private_key)  # type: ignore[attr-defined]  # fixture of SigningKeys
    assert not (folder / "model.sig").exists()


@pytest.mark.parametrize("raw", [b"", b"[]", b"\xff\xfe", b"{" * 3000])
def test_a_manifest_that_is_not_an_object_is_refused(raw: bytes) -> None:
    with pytest.raises(PackageInvalid, match=r"package\.json: the document"):
        parse_manifest(raw)


def test_nobody_else_makes_a_verified_package(tmp_path: Path, make_package: MakePackage) -> None:
    manifest = parse_manifest((make_package() / "package.json").read_bytes())
    with pytest.raises(TypeError, match="verify_package only"):
        VerifiedPackage(tmp_path, {}, manifest, "0" * 16, seal=object())


def test_a_verified_package_does_not_cross_processes(
    make_package: MakePackage, trusted: tuple[TrustedKey, ...]
) -> None:
    with pytest.raises(TypeError, match="verify it again there"):
        pickle.dumps(verify_package(make_package(), trusted, NAME))


def test_reading_gives_the_signed_bytes(make_package: MakePackage, trusted: tuple[TrustedKey, ...]) -> None:
    package = verify_package(make_package(), trusted, NAME)
    assert package.read("parts/vocabulary.json") == b'{"hello": 1}'
    assert isinstance(package.manifest, PackageManifest)


def test_a_file_swapped_after_verification_is_refused(
    make_package: MakePackage, trusted: tuple[TrustedKey, ...]
) -> None:
    package = verify_package(make_package(), trusted, NAME)
    (package.root / "model.onnx").write_bytes(b"other")
    with pytest.raises(PackageRefused, match=r"model\.onnx: expected SHA-256 [0-9a-f]{64}, got [0-9a-f]{64}"):
        package.read("model.onnx")


@pytest.mark.parametrize("what", ["link", "pipe", "folder", "nothing"])
def test_what_is_no_regular_file_is_refused_after_verification_too(
    make_package: MakePackage, trusted: tuple[TrustedKey, ...], tmp_path: Path, what: str
) -> None:
    package = verify_package(make_package(), trusted, NAME)
    path = package.root / "model.onnx"
    same_bytes = tmp_path / "same"
    same_bytes.write_bytes(path.read_bytes())
    path.unlink()
    if what == "link":
        path.symlink_to(same_bytes)
    elif what == "pipe":
        os.mkfifo(path)
    elif what == "folder":
        path.mkdir()
    with pytest.raises(PackageRefused, match=r"model\.onnx: expected a readable file"):
        package.read("model.onnx")


@pytest.mark.parametrize("name", ["model.sig", "../keys/model-signing.pem", "other.json", ""])
def test_only_signed_names_can_be_read(
    make_package: MakePackage, trusted: tuple[TrustedKey, ...], name: str
) -> None:
    package = verify_package(make_package(), trusted, NAME)
    with pytest.raises(PackageRefused, match="expected a file that the signature covers"):
        package.read(name)
