"""Verified copies are placed whole or not at all, and what was placed goes on serving."""

import errno
import json
import multiprocessing
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from registry import placing
from registry.errors import ModelNotFound, PackageRefused, PlacingFailed, RegistryUnavailable
from registry.keys import TrustedKey
from registry.placing import place, placed_aliases, placed_folder, placed_package, placed_ref
from registry.records import ModelRef
from registry.settings import RegistrySettings
from tests.registry.conftest import NAME, MakePackage
from tests.registry.sources import FolderSource

Trusted = tuple[TrustedKey, ...]


@pytest.fixture
def source(make_package: MakePackage, trusted: Trusted) -> FolderSource:
    held = FolderSource(trusted)
    held.hold(NAME, make_package(), 1)
    return held


def _left(settings: RegistrySettings) -> list[str]:
    return sorted(p.name for p in (settings.models_dir / NAME).iterdir())


def test_a_placed_copy_is_whole_verified_and_pointed_to(
    source: FolderSource, settings: RegistrySettings
) -> None:
    ref = place(NAME, "champion", settings, source)
    assert placed_ref(NAME, "champion", settings) == ref
    assert placed_package(ref, settings).digest == ref.digest
    assert _left(settings) == [f"1-{ref.digest[:12]}", "champion.json"]
    assert placed_aliases(settings) == [(NAME, "champion")]


def test_placing_again_downloads_nothing(source: FolderSource, settings: RegistrySettings) -> None:
    first = place(NAME, "champion", settings, source)
    assert place(NAME, "champion", settings, source) == first
    assert source.downloads == 1


def test_a_new_version_is_placed_beside_the_old_one(
    source: FolderSource, settings: RegistrySettings, make_package: MakePackage
) -> None:
    old = place(NAME, "champion", settings, source)
    new = source.hold(NAME, make_package(contract_version="second"), 2)
    assert place(NAME, "champion", settings, source) == new == placed_ref(NAME, "champion", settings)
    assert placed_package(old, settings).digest == old.digest


def test_a_copy_that_was_spoilt_on_this_machine_is_replaced(
    source: FolderSource, settings: RegistrySettings
) -> None:
    ref = place(NAME, "champion", settings, source)
    spoilt = placed_folder(ref, settings) / "extra.json"
    spoilt.write_text("{}")
    assert place(NAME, "champion", settings, source) == ref
    assert not spoilt.exists()
    assert len(_left(settings)) == 2


def test_a_tampered_package_in_the_registry_leaves_the_old_one_serving(
    source: FolderSource, settings: RegistrySettings, make_package: MakePackage
) -> None:
    old = place(NAME, "champion", settings, source)
    folder = make_package(contract_version="second")
    source.hold(NAME, folder, 2)
    (folder / "model.onnx").write_bytes(b"other")
    with pytest.raises(PackageRefused, match=r"model\.onnx: expected SHA-256"):
        place(NAME, "champion", settings, source)
    assert placed_ref(NAME, "champion", settings) == old
    assert _left(settings) == [f"1-{old.digest[:12]}", "champion.json"]


def test_validly_signed_bytes_under_another_digest_are_refused(
    source: FolderSource, settings: RegistrySettings, make_package: MakePackage
) -> None:
    """An old signed version may not be slipped in where the registry names a newer one."""
    new = source.hold(NAME, make_package(contract_version="second"), 2)
    older = make_package(contract_version="first")
    source._held[NAME, "champion"] = new, older
    with pytest.raises(
        PackageRefused, match=rf"digest of all files: expected {new.digest}, got [0-9a-f]+ \(validly"
    ):
        place(NAME, "champion", settings, source)
    assert _left(settings) == []


@pytest.mark.parametrize("at", ["chmod", "fsync", "replace", "pointer"])
def test_a_full_disk_leaves_nothing_half_placed(
    source: FolderSource,
    settings: RegistrySettings,
    make_package: MakePackage,
    monkeypatch: pytest.MonkeyPatch,
    at: str,
) -> None:
    old = place(NAME, "champion", settings, source)
    source.hold(NAME, make_package(contract_version="second"), 2)

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as broken:
        if at == "chmod":
            broken.setattr(Path, "chmod", full)
        elif at == "fsync":
            broken.setattr(os, "fsync", full)
        elif at == "replace":
            broken.setattr(placing, "_move_in", full)
        else:
            broken.setattr(json, "dump", full)
        with pytest.raises(PlacingFailed, match=r"version 2 could not be placed: No space left on device"):
            place(NAME, "champion", settings, source)
    assert placed_ref(NAME, "champion", settings) == old
    assert placed_package(old, settings).digest == old.digest
    assert not [name for name in _left(settings) if name.startswith(".")]
    assert place(NAME, "champion", settings, source).version == 2


def test_a_disk_that_fills_up_during_the_download_is_named(
    settings: RegistrySettings, make_package: MakePackage, trusted: Trusted, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = FolderSource(trusted)
    source.hold(NAME, make_package(), 1)

    def download(ref: ModelRef, to: Path) -> Path:
        (to / "half.onnx").write_bytes(b"x")
        Path("/dev/full").write_bytes(b"the other half")
        return to

    monkeypatch.setattr(source, "download", download)
    with pytest.raises(PlacingFailed, match="No space left on device"):
        place(NAME, "champion", settings, source)
    assert _left(settings) == []


def _place_and_die(settings: RegistrySettings, source: FolderSource, at: str) -> None:
    def die(*_: object) -> None:
        os._exit(9)

    setattr(placing, at, die)
    place(NAME, "champion", settings, source)


@pytest.mark.parametrize("at", ["_flush", "_move_in", "_point"])
def test_a_process_killed_in_the_middle_leaves_the_old_copy_serving(
    source: FolderSource, settings: RegistrySettings, make_package: MakePackage, at: str
) -> None:
    old = place(NAME, "champion", settings, source)
    new = source.hold(NAME, make_package(contract_version="second"), 2)
    child = multiprocessing.get_context("fork").Process(target=_place_and_die, args=(settings, source, at))
    child.start()
    child.join(60)
    assert child.exitcode == 9
    assert placed_ref(NAME, "champion", settings) == old
    assert placed_package(old, settings).digest == old.digest
    assert place(NAME, "champion", settings, source) == new == placed_ref(NAME, "champion", settings)


def test_what_a_killed_process_left_is_swept_after_an_hour(
    source: FolderSource, settings: RegistrySettings
) -> None:
    parent = settings.models_dir / NAME
    for name, age_s in (("old", 4000), ("fresh", 10)):
        left = parent / f"{placing.INCOMING}{name}"
        left.mkdir(parents=True)
        os.utime(left, (time.time() - age_s,) * 2)
    place(NAME, "champion", settings, source)
    assert [name for name in _left(settings) if name.startswith(".")] == [f"{placing.INCOMING}fresh"]


def test_many_that_place_at_once_end_with_one_good_copy(
    source: FolderSource, settings: RegistrySettings
) -> None:
    with ThreadPoolExecutor(8) as pool:
        placed = set(pool.map(lambda _: place(NAME, "champion", settings, source), range(16)))
    assert len(placed) == 1
    assert placed_package(placed.pop(), settings).manifest.name == NAME
    assert len(_left(settings)) == 2


def test_processes_that_replace_a_spoilt_copy_at_once_end_with_one_good_copy(
    source: FolderSource, settings: RegistrySettings
) -> None:
    ref = place(NAME, "champion", settings, source)
    (placed_folder(ref, settings) / "extra.json").write_text("{}")
    context = multiprocessing.get_context("fork")
    children = [context.Process(target=place, args=(NAME, "champion", settings, source)) for _ in range(4)]
    for child in children:
        child.start()
    for child in children:
        child.join(60)
    assert [child.exitcode for child in children] == [0] * 4
    assert placed_package(ref, settings).digest == ref.digest
    assert len(_left(settings)) == 2


def test_who_comes_second_leaves_the_first_ones_copy_where_it_is(
    source: FolderSource, settings: RegistrySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process places the same version while this one is downloading."""
    fetch = source.download
    inodes: list[int] = []

    def slow(ref: ModelRef, to: Path) -> Path:
        monkeypatch.setattr(source, "download", fetch)
        place(NAME, "champion", settings, source)
        inodes.append(placed_folder(ref, settings).stat().st_ino)
        return fetch(ref, to)

    monkeypatch.setattr(source, "download", slow)
    ref = place(NAME, "champion", settings, source)
    assert [placed_folder(ref, settings).stat().st_ino] == inodes
    assert len(_left(settings)) == 2


def test_a_copy_spoilt_while_it_is_moved_in_is_not_pointed_to(
    source: FolderSource, settings: RegistrySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    move_in = placing._move_in

    def spoil(folder: Path, target: Path, ref: ModelRef, settings: RegistrySettings, alias: str) -> None:
        move_in(folder, target, ref, settings, alias)
        (target / "extra.json").write_text("{}")

    monkeypatch.setattr(placing, "_move_in", spoil)
    with pytest.raises(PackageRefused, match=r"extra\.json"):
        place(NAME, "champion", settings, source)
    with pytest.raises(ModelNotFound):
        placed_ref(NAME, "champion", settings)


def test_an_unreachable_registry_leaves_the_placed_copy(
    source: FolderSource, settings: RegistrySettings
) -> None:
    ref = place(NAME, "champion", settings, source)
    source.down = True
    with pytest.raises(RegistryUnavailable):
        place(NAME, "champion", settings, source)
    assert placed_ref(NAME, "champion", settings) == ref


def test_nothing_placed_says_how_to_get_it_and_makes_no_folder(settings: RegistrySettings) -> None:
    with pytest.raises(
        ModelNotFound, match=r"switchyard train <usecase>.*python -m registry\.sync parcels-intent"
    ):
        placed_ref(NAME, "champion", settings)
    assert not settings.models_dir.exists()


@pytest.mark.parametrize(
    ("name", "alias"), [("../up", "champion"), (NAME, "../up"), ("", "champion"), (NAME, "a/b")]
)
def test_names_that_lead_elsewhere_are_refused(
    settings: RegistrySettings, source: FolderSource, name: str, alias: str
) -> None:
    with pytest.raises(ModelNotFound):
        placed_ref(name, alias, settings)
    with pytest.raises(ModelNotFound):
        place(name, alias, settings, source)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "null",
        "{}",
        '{"name": "other", "version": 1, "digest": "%s"}' % ("a" * 64),
        '{"name": "parcels-intent", "version": 1, "digest": "../../evil"}',
        '{"name": "parcels-intent", "version": "../..", "digest": "%s"}' % ("a" * 64),
        '{"name": "parcels-intent", "version": true, "digest": "%s"}' % ("a" * 64),
    ],
)
def test_a_broken_pointer_is_refused_and_placing_repairs_it(
    source: FolderSource, settings: RegistrySettings, content: str
) -> None:
    ref = place(NAME, "champion", settings, source)
    (settings.models_dir / NAME / "champion.json").write_text(content)
    with pytest.raises(ModelNotFound, match=r"champion\.json"):
        placed_ref(NAME, "champion", settings)
    place(NAME, "champion", settings, source)
    assert placed_ref(NAME, "champion", settings) == ref


def test_a_copy_that_was_tampered_with_after_placing_is_refused(
    source: FolderSource, settings: RegistrySettings
) -> None:
    ref = place(NAME, "champion", settings, source)
    file = placed_folder(ref, settings) / "model.onnx"
    file.chmod(0o644)
    file.write_bytes(b"other")
    with pytest.raises(PackageRefused, match=r"model\.onnx: expected SHA-256"):
        placed_package(ref, settings)


def test_files_of_a_placed_copy_are_read_only(source: FolderSource, settings: RegistrySettings) -> None:
    folder = placed_folder(place(NAME, "champion", settings, source), settings)
    assert {p.stat().st_mode & 0o777 for p in folder.rglob("*") if p.is_file()} == {0o444}
