"""Packages, keys and settings that the tests of this room share. No model is trained here."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.plain_evidence import write_plain_evidence
from registry.keys import SigningKeys, TrustedKey, ensure_signing_keys, trusted_keys
from registry.settings import RegistrySettings
from registry.signing import sign_package

NAME = "parcels-intent"

MakePackage = Callable[..., Path]


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SWITCHYARD_HOME", raising=False)
    monkeypatch.delenv("SWITCHYARD_MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture(scope="session")
def session_keys_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("session") / "keys"
    ensure_signing_keys(folder)
    return folder


@pytest.fixture(scope="session")
def keys(session_keys_dir: Path) -> SigningKeys:
    return ensure_signing_keys(session_keys_dir)


@pytest.fixture(scope="session")
def trusted(session_keys_dir: Path) -> tuple[TrustedKey, ...]:
    return trusted_keys(session_keys_dir)


@pytest.fixture
def settings(tmp_path: Path, keys: SigningKeys) -> RegistrySettings:
    """A home of its own whose only trusted key is the session's."""
    home = tmp_path / "home"
    (home / "keys" / "trusted").mkdir(parents=True)
    (home / "keys" / "trusted" / "signer.pem").write_bytes(keys.public_key.read_bytes())
    return RegistrySettings(home=home)


def small_graph(content: bytes) -> bytes:
    """ONNX as far as `onnx_guard` reads it: a graph with nothing but a text of its own."""
    text = bytes([10 << 3 | 2]) + _varint(len(content)) + content
    return bytes([7 << 3 | 2]) + _varint(len(text)) + text


def _varint(value: int) -> bytes:
    head = value & 0x7F
    return bytes([head]) if value < 0x80 else bytes([head | 0x80]) + _varint(value >> 7)


def write_package(folder: Path, name: str = NAME, **changes: object) -> Path:
    """An unsigned package of a few small files; `changes` replace keys of package.json."""
    (folder / "parts").mkdir(parents=True)
    (folder / "model.onnx").write_bytes(small_graph(bytes(range(256)) * 4))
    (folder / "parts" / "vocabulary.json").write_text('{"hello": 1}')
    (folder / "evidence.json").write_text('{"accuracy": 0.93}')
    (folder / "model_card.md").write_text("# A card\n")
    manifest = {
        "format_version": 1,
        "name": name,
        "kind": "constant",
        "labels": ["lost", "late"],
        "inputs": ["text"],
        "acceptance": {"threshold": 0.8, "max_error": 0.02, "confidence": 0.95, "method": "none"},
        "contract_version": "0123456789ab",
        "files": ["model.onnx", "parts/vocabulary.json"],
        **changes,
    }
    (folder / "package.json").write_text(json.dumps(manifest))
    return folder


@pytest.fixture
def make_package(tmp_path: Path, keys: SigningKeys) -> MakePackage:
    """Makes a signed package of three labels in a folder of its own; keywords change package.json."""
    made = 0

    def make(name: str = NAME, sign: bool = True, **changes: object) -> Path:
        nonlocal made
        made += 1
        folder = write_package(tmp_path / f"made-{made}" / "package", name, **changes)
        if sign:
            write_plain_evidence(folder)
            sign_package(folder, keys.private_key)
        return folder

    return make
