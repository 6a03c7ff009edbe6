"""A bento's models are verified where it starts, by the keys and the promotions that its home believes."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest

from bench.plain_evidence import write_plain_evidence
from registry.bundles import INDEX, Bundled, add, place_bundled, write_index
from registry.errors import ModelNotFound, PackageRefused
from registry.keys import TrustedKey, ensure_signing_keys
from registry.log import append_line
from registry.placing import place, placed_ref, refused_move
from registry.records import ModelRef
from registry.settings import RegistrySettings
from registry.signing import sign_package, verify_package
from registry.trust import Revocations, RevokedVersion
from registry.trust_files import revoke
from registry.versions import version_alias
from tests.registry.conftest import NAME, MakePackage, small_graph
from tests.registry.sources import FolderSource

Build = Callable[..., Bundled]


@pytest.fixture
def maker(tmp_path: Path, session_keys_dir: Path) -> RegistrySettings:
    """The home that signs, promotes and builds."""
    (tmp_path / "maker").mkdir()
    (tmp_path / "maker" / "keys").symlink_to(session_keys_dir)
    return RegistrySettings(home=tmp_path / "maker")


@pytest.fixture
def bento(settings: RegistrySettings, tmp_path: Path) -> RegistrySettings:
    """A fresh home that knows the maker's public key, as a bento with a bundle sees it."""
    (tmp_path / "bundle").mkdir()
    return RegistrySettings(home=settings.home, bundle=tmp_path / "bundle")


@pytest.fixture
def build(maker: RegistrySettings, bento: RegistrySettings, make_package: MakePackage) -> Build:
    """Promote a new version at the maker's, and put it into the bundle in place of what was there."""

    def built(
        version: int = 1, alias: str = "champion", move: str | None = None, **changes: object
    ) -> Bundled:
        folder = make_package(contract_version=f"of-{version}", **changes)
        package = verify_package(folder, (trusted_by(maker)), NAME)
        ref = ModelRef(NAME, version, package.digest)
        line = move or append_line("promotion", {**asdict(ref), "alias": alias, "before": None}, maker)
        one = add(bento.bundle, package, ref, alias, line, maker)
        write_index(bento.bundle, [one])
        return one

    return built


def trusted_by(settings: RegistrySettings) -> tuple[TrustedKey, ...]:
    from registry.trust_files import keys_for

    return keys_for(settings, "candidate")


def file_of(bento: RegistrySettings, held: Bundled, name: str = "model.onnx") -> Path:
    return bento.bundle / NAME / f"{held.version}-{held.digest[:12]}" / name


def nothing_placed(bento: RegistrySettings) -> bool:
    try:
        placed_ref(NAME, "champion", bento)
    except ModelNotFound:
        return True
    return False


def test_what_a_bento_holds_is_placed_in_a_fresh_home_and_again_at_each_start(
    build: Build, bento: RegistrySettings
) -> None:
    held = build()
    assert place_bundled(bento) == []
    assert place_bundled(bento) == []
    assert placed_ref(NAME, "champion", bento) == held.ref


def test_in_a_checkout_there_is_nothing_to_place(settings: RegistrySettings) -> None:
    assert place_bundled(settings) == []


def test_a_changed_byte_inside_a_built_bento_is_refused_and_said(
    build: Build, bento: RegistrySettings
) -> None:
    file = file_of(bento, build())
    file.chmod(0o644)
    file.write_bytes(b"changed" + file.read_bytes()[7:])
    (said,) = place_bundled(bento)
    assert "the copy in this bento is not used" in said
    assert "model.onnx: expected SHA-256" in said
    assert nothing_placed(bento)
    assert "model.onnx: expected SHA-256" in str(refused_move(NAME, "champion", bento))


@pytest.mark.parametrize("how", ["added", "removed", "linked", "unsigned"])
def test_files_that_nobody_signed_are_refused(
    build: Build, bento: RegistrySettings, tmp_path: Path, how: str
) -> None:
    file = file_of(bento, build())
    if how == "added":
        file.with_name("more.json").write_text("{}")
    elif how == "unsigned":
        file.with_name("model.sig").unlink()
    else:
        file.rename(tmp_path / "elsewhere")
        if how == "linked":
            file.symlink_to(tmp_path / "elsewhere")
    assert len(place_bundled(bento)) == 1
    assert nothing_placed(bento)


def test_a_bento_by_a_key_that_its_home_does_not_know_is_refused(
    build: Build, bento: RegistrySettings
) -> None:
    """Who may sign is said by the home, never by the bento."""
    build()
    (bento.keys_dir / "trusted" / "signer.pem").unlink()
    ensure_signing_keys(bento.keys_dir)
    (said,) = place_bundled(bento)
    assert "signed by no key known here" in said


def test_a_validly_signed_version_that_was_never_promoted_is_refused(
    build: Build, bento: RegistrySettings, maker: RegistrySettings
) -> None:
    other = append_line(
        "promotion", {"name": NAME, "version": 7, "digest": "a" * 64, "alias": "champion"}, maker
    )
    build(move=other)
    (said,) = place_bundled(bento)
    assert "no signed promotion says so" in said
    assert nothing_placed(bento)


def test_a_canary_cannot_pass_for_the_champion(build: Build, bento: RegistrySettings) -> None:
    held = build(alias="canary")
    write_index(bento.bundle, [held.model_copy(update={"alias": "champion"})])
    (said,) = place_bundled(bento)
    assert "no signed promotion says so" in said
    write_index(bento.bundle, [held])
    assert place_bundled(bento) == []
    assert placed_ref(NAME, "canary", bento) == placed_ref(NAME, version_alias("1"), bento) == held.ref
    assert nothing_placed(bento)


def test_an_index_that_names_another_digest_is_refused(build: Build, bento: RegistrySettings) -> None:
    held = build()
    other = held.digest[:12] + "0" * 52
    write_index(bento.bundle, [held.model_copy(update={"digest": other})])
    assert len(place_bundled(bento)) == 1
    assert nothing_placed(bento)


def test_a_newer_bento_leads_and_an_older_one_takes_nothing_back(
    build: Build, bento: RegistrySettings
) -> None:
    old = build(1)
    assert place_bundled(bento) == []
    new = build(2)
    assert place_bundled(bento) == []
    assert placed_ref(NAME, "champion", bento) == new.ref
    assert placed_ref(NAME, "previous", bento) == old.ref
    write_index(bento.bundle, [old])
    assert place_bundled(bento) == []
    assert placed_ref(NAME, "champion", bento) == new.ref
    assert refused_move(NAME, "champion", bento) is None


def test_a_revoked_version_inside_a_bento_is_refused(build: Build, bento: RegistrySettings) -> None:
    held = build()
    revoke(Revocations(revoked_versions=(RevokedVersion(digest=held.digest, reason="bad data"),)), bento)
    (said,) = place_bundled(bento)
    assert "was revoked: bad data" in said


def test_what_the_home_serves_goes_on_when_the_bento_is_refused(
    build: Build, bento: RegistrySettings, make_package: MakePackage, trusted: tuple[TrustedKey, ...]
) -> None:
    source = FolderSource(trusted)
    serving = source.hold(NAME, make_package(), 5)
    place(NAME, "champion", bento, source)
    file = file_of(bento, build(6))
    file.chmod(0o644)
    file.write_bytes(b"changed")
    assert len(place_bundled(bento)) == 1
    assert placed_ref(NAME, "champion", bento) == serving


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"name": "../../etc"}, "models.0.name"),
        ({"version": 0}, "models.0.version"),
        ({"digest": "short"}, "models.0.digest"),
        ({"path": "elsewhere"}, "models.0.path"),
    ],
)
def test_an_index_of_another_form_is_refused_by_key(
    build: Build, bento: RegistrySettings, change: dict[str, object], key: str
) -> None:
    build()
    file = bento.bundle / INDEX
    content = json.loads(file.read_text())
    content["models"][0].update(change)
    file.write_text(json.dumps(content))
    (said,) = place_bundled(bento)
    assert said.startswith(f"bundle/{INDEX}: {key}: ")
    file.unlink()
    assert "expected the index" in place_bundled(bento)[0]


def test_a_copy_that_differs_from_what_was_verified_is_not_built(
    maker: RegistrySettings, bento: RegistrySettings, make_package: MakePackage
) -> None:
    package = verify_package(make_package(), trusted_by(maker), NAME)
    (package.root / "model.onnx").write_bytes(small_graph(b"swapped after it was verified"))
    with pytest.raises(PackageRefused, match=r"model\.onnx"):
        add(bento.bundle, package, ModelRef(NAME, 1, package.digest), "champion", "line", maker)
    write_plain_evidence(package.root)
    sign_package(package.root, ensure_signing_keys(maker.keys_dir).private_key)
    with pytest.raises(PackageRefused, match="digest of all files"):
        add(bento.bundle, package, ModelRef(NAME, 2, package.digest), "champion", "line", maker)
