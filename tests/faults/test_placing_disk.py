"""A disk that really is full, at any moment of placing: whole or not at all, and what served goes on."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.plain_evidence import write_plain_evidence
from registry.errors import PlacingFailed
from registry.keys import ensure_signing_keys, trusted_keys
from registry.placing import INCOMING, place, placed_package, placed_ref
from registry.settings import RegistrySettings
from registry.signing import sign_package
from tests.registry.conftest import NAME, small_graph, write_package
from tests.registry.sources import FolderSource

PAGE = 4096
GRAPH = 6 * PAGE


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of a quarter of a megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k,mode=700", "tmpfs", str(folder)],
        capture_output=True,
        text=True,
    )
    if done.returncode:
        if os.environ.get("CI") == "true":
            pytest.fail(f"CI must be able to mount: {done.stderr}")
        pytest.skip("only root may mount a small file system")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def fill(disk: Path, leave: int) -> Path:
    """A file that takes all but `leave` pages."""
    filler = disk / "filler"
    with filler.open("wb") as file:
        left = os.statvfs(disk).f_bavail - leave
        os.posix_fallocate(file.fileno(), 0, max(1, left) * PAGE)
    return filler


def attempt(settings: RegistrySettings, source: FolderSource) -> str:
    """What is said of a failure; nothing where version 2 is placed."""
    try:
        assert place(NAME, "champion", settings, source).version == 2
    except PlacingFailed as error:
        return str(error)
    return ""


def test_with_any_number_of_pages_left_the_new_version_is_placed_whole_or_the_old_one_serves(
    small_disk: Path, tmp_path: Path
) -> None:
    settings = RegistrySettings(home=small_disk / "home")
    keys = ensure_signing_keys(settings.keys_dir)
    source = FolderSource(trusted_keys(settings.keys_dir))
    for version in (1, 2):
        folder = write_package(tmp_path / f"{version}", contract_version=f"{version}")
        (folder / "model.onnx").write_bytes(small_graph(os.urandom(GRAPH)))
        write_plain_evidence(folder)
        sign_package(folder, keys.private_key)
        source.hold(NAME, folder, version)
        if version == 1:
            old = place(NAME, "champion", settings, source)
    refused, pages = 0, 0
    while placed_ref(NAME, "champion", settings) == old:
        filler = fill(small_disk, pages)
        said = attempt(settings, source)
        filler.unlink()
        if said:
            assert "No space left on device" in said
            refused += 1
        serving = placed_ref(NAME, "champion", settings)
        assert placed_package(serving, settings).digest == serving.digest
        assert not list((settings.models_dir / NAME).glob(f"{INCOMING}*"))
        pages += 1
    assert refused >= GRAPH // PAGE
