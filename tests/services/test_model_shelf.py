"""A running replica stops serving a revoked version by itself, and the one before it takes over."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.plain_evidence import write_plain_evidence
from registry import loading
from registry.keys import SigningKeys, ensure_signing_keys, trusted_keys
from registry.packages import VerifiedPackage
from registry.placing import place
from registry.settings import RegistrySettings
from registry.signing import sign_package
from registry.trust import Revocations, RevokedKey, RevokedVersion
from registry.trust_files import revoke
from services.bootstrap import Edges, bootstrap
from services.model_shelf import ModelShelf, PlacedOnDisk
from services.settings import load_settings
from tests.fakes import REPOSITORY, FakePolicy, FakePredictor, support
from tests.registry.conftest import write_package
from tests.registry.sources import FolderSource

MODEL = "support-intent"


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RegistrySettings:
    """A home in which version 2 of the model is champion, and version 1 was before it."""

    def opened(package: VerifiedPackage) -> FakePredictor:
        return FakePredictor(package.manifest.labels, package.manifest.labels[0])

    monkeypatch.setattr(loading, "open_predictor", opened)
    home = tmp_path / "home"
    monkeypatch.setenv("SWITCHYARD_HOME", str(home))
    settings = RegistrySettings(home=home)
    keys = signing_keys(settings)
    for version in (1, 2):
        folder = write_package(
            tmp_path / str(version),
            MODEL,
            labels=support().labels,
            contract_version=f"contract-{version}",
        )
        write_plain_evidence(folder)
        sign_package(folder, keys.private_key)
        source = FolderSource(trusted_keys(settings.keys_dir))
        source.hold(MODEL, folder, version)
        place(MODEL, "champion", settings, source)
    return settings


def signing_keys(settings: RegistrySettings) -> SigningKeys:
    return ensure_signing_keys(settings.keys_dir)


def bar(digest: str, settings: RegistrySettings) -> None:
    more = Revocations(revoked_versions=(RevokedVersion(digest=digest, reason="bad data"),))
    revoke(more, settings)


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not true():  # noqa: ASYNC110  — nothing announces it
            await asyncio.sleep(0.01)


async def test_running_workers_drop_a_revoked_version_for_the_one_before_by_their_own_polling(
    settings: RegistrySettings,
) -> None:
    """Only the files of the state folder tell them; with both versions revoked, no local model answers."""
    serving = load_settings(home=settings.home, usecases_dir=REPOSITORY / "usecases", model_poll_s=0.02)
    edges = Edges(placed=PlacedOnDisk(settings), policy=lambda _: FakePolicy())
    async with bootstrap(serving, edges) as runtime:

        def serves() -> object:
            return runtime.readiness().use_cases["support"]["model"]

        second = serves()
        assert second is not None
        bar(str(second), settings)
        await until(lambda: serves() not in (None, second))
        assert "local" not in runtime.pipeline.use_cases["support"].missing
        bar(str(serves()), settings)
        await until(lambda: "local" in runtime.pipeline.use_cases["support"].missing)


def test_a_revoked_key_ends_every_version_that_it_signed(settings: RegistrySettings) -> None:
    shelf = ModelShelf([MODEL], PlacedOnDisk(settings))
    assert shelf.refresh()
    revoked = RevokedKey(key=signing_keys(settings).key_id, reason="leaked")
    revoke(Revocations(revoked_keys=(revoked,)), settings)
    assert shelf.refresh()
    assert shelf.get(MODEL) is None
    assert "leaked" in shelf.problems[MODEL]


def test_a_revoked_key_ends_its_version_though_the_pointer_names_another_key(
    settings: RegistrySettings,
) -> None:
    shelf = ModelShelf([MODEL], PlacedOnDisk(settings))
    shelf.refresh()
    for alias in ("champion", "previous"):
        pointer = settings.models_dir / MODEL / f"{alias}.json"
        pointer.write_text(json.dumps({**json.loads(pointer.read_text()), "key_id": "0" * 16}))
    revoke(
        Revocations(revoked_keys=(RevokedKey(key=signing_keys(settings).key_id, reason="leaked"),)), settings
    )
    assert shelf.refresh()
    assert shelf.get(MODEL) is None


def test_revoked_and_nothing_intact_before_it_means_none_serves(settings: RegistrySettings) -> None:
    """The version before was tampered with: better no local model than either."""
    shelf = ModelShelf([MODEL], PlacedOnDisk(settings))
    shelf.refresh()
    held = shelf.get(MODEL)
    assert held is not None
    before = next((settings.models_dir / MODEL).glob("1-*/model.onnx"))
    before.chmod(0o644)
    before.write_bytes(b"other")
    bar(held.loaded.ref.digest, settings)
    assert shelf.refresh()
    assert shelf.get(MODEL) is None


def test_a_policy_that_cannot_be_read_leaves_what_serves_and_is_told(settings: RegistrySettings) -> None:
    shelf = ModelShelf([MODEL], PlacedOnDisk(settings))
    shelf.refresh()
    (settings.keys_dir / "revoked.json").write_text("{broken")
    assert not shelf.refresh()
    assert shelf.get(MODEL) is not None
    assert "keys/revoked.json" in shelf.problems[MODEL]
