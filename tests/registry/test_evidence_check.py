"""Evidence about other files than those beside it is refused, though a trusted key signed it all."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from registry.contents import hash_files
from registry.errors import PackageRefused
from registry.evidence_check import TYPE, UNNAMED
from registry.keys import SigningKeys, TrustedKey
from registry.loading import placed_ref
from registry.placing import place
from registry.settings import RegistrySettings
from registry.signing import sign_package
from tests.registry.conftest import NAME, write_package
from tests.registry.sources import FolderSource

Change = Callable[[dict[str, Any]], None]


def signed(folder: Path, keys: SigningKeys, change: Change = lambda said: None) -> Path:
    """A package whose statement names its files, then changed, then signed with a trusted key."""
    write_package(folder)
    (folder / "contract-tests.json").write_text("{}")
    files = {name: digest for name, digest in hash_files(folder, NAME).items() if name not in UNNAMED}
    said = {
        "_type": TYPE,
        "subject": [{"name": name, "digest": {"sha256": digest}} for name, digest in files.items()],
        "predicate": {"switchyard_model": {"contract_tests": {"sha256": files["contract-tests.json"]}}},
    }
    change(said)
    (folder / "evidence.json").write_text(json.dumps(said))
    sign_package(folder, keys.private_key)
    return folder


@pytest.fixture
def source(trusted: tuple[TrustedKey, ...]) -> FolderSource:
    return FolderSource(trusted)


def other_digest(said: dict[str, Any]) -> None:
    said["subject"][0]["digest"]["sha256"] = "0" * 64


def one_less(said: dict[str, Any]) -> None:
    said["subject"].pop()


def one_more(said: dict[str, Any]) -> None:
    said["subject"].append({"name": "other.onnx", "digest": {"sha256": "0" * 64}})


def twice(said: dict[str, Any]) -> None:
    said["subject"].append(said["subject"][0])


def no_digest(said: dict[str, Any]) -> None:
    said["subject"][0] = {"name": "model.onnx"}


def no_subjects(said: dict[str, Any]) -> None:
    said["subject"] = []


def other_report(said: dict[str, Any]) -> None:
    said["predicate"]["switchyard_model"]["contract_tests"]["sha256"] = "0" * 64


def test_evidence_about_these_very_files_is_loaded(
    tmp_path: Path, keys: SigningKeys, source: FolderSource, settings: RegistrySettings
) -> None:
    source.hold(NAME, signed(tmp_path / "a", keys), 1)
    assert place(NAME, "champion", settings, source).version == 1


@pytest.mark.parametrize(
    "change", [other_digest, one_less, one_more, twice, no_digest, no_subjects, other_report]
)
def test_evidence_that_names_other_digests_is_refused_and_what_served_goes_on(
    tmp_path: Path, keys: SigningKeys, source: FolderSource, settings: RegistrySettings, change: Change
) -> None:
    source.hold(NAME, signed(tmp_path / "a", keys), 1)
    good = place(NAME, "champion", settings, source)
    source.hold(NAME, signed(tmp_path / "b", keys, change), 2)
    with pytest.raises(PackageRefused, match=r"evidence\.json: expected"):
        place(NAME, "champion", settings, source)
    assert placed_ref(NAME, "champion", settings) == good
    assert [path.name for path in (settings.models_dir / NAME).iterdir() if path.is_dir()] == [
        f"1-{good.digest[:12]}"
    ]


@pytest.mark.parametrize(
    "text", ["{}", "[]", "no JSON", '{"_type": "https://in-toto.io/Statement/v0.1"}', None]
)
def test_what_is_no_in_toto_statement_is_refused_though_a_trusted_key_signed_it(
    tmp_path: Path, keys: SigningKeys, source: FolderSource, settings: RegistrySettings, text: str | None
) -> None:
    folder = write_package(tmp_path / "a")
    if text is None:
        (folder / "evidence.json").unlink()
    else:
        (folder / "evidence.json").write_text(text)
    sign_package(folder, keys.private_key)
    source.hold(NAME, folder, 1)
    with pytest.raises(PackageRefused, match="expected an in-toto statement"):
        place(NAME, "champion", settings, source)
    assert not (settings.models_dir / NAME / "champion.json").exists()
