"""The only door to a model: verified, placed, and loaded from that same copy."""

import errno
import os
from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from registry import loading
from registry.errors import ModelNotFound, PackageRefused
from registry.keys import SigningKeys, TrustedKey
from registry.loading import load_placed, load_verified
from registry.packages import VerifiedPackage
from registry.placing import placed_folder
from registry.records import Acceptance, Prediction
from registry.settings import RegistrySettings
from tests.registry.conftest import NAME, MakePackage
from tests.registry.sources import FolderSource


class FirstLabel:
    """Answers the first label, always; stands in for a runtime."""

    def __init__(self, package: VerifiedPackage) -> None:
        self.root = package.root
        self.content = package.read("model.onnx")
        self.labels = package.manifest.labels

    def predict(self, fields: Mapping[str, object]) -> Prediction:
        return Prediction(self.labels[0], 1.0)

    def probabilities(self, rows: Sequence[Mapping[str, object]]) -> np.ndarray:
        return np.tile(np.eye(len(self.labels))[0], (len(rows), 1))


@pytest.fixture(autouse=True)
def _runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "open_predictor", FirstLabel)


@pytest.fixture
def source(make_package: MakePackage, trusted: tuple[TrustedKey, ...]) -> FolderSource:
    held = FolderSource(trusted)
    held.hold(NAME, make_package(), 1)
    return held


def test_a_loaded_model_carries_its_ref_promise_and_signer(
    source: FolderSource, settings: RegistrySettings, keys: SigningKeys
) -> None:
    loaded = load_verified(NAME, "champion", settings, source)
    assert loaded.ref == source.resolve(NAME, "champion")
    assert loaded.acceptance == Acceptance(threshold=0.8, max_error=0.02, confidence=0.95, method="none")
    assert (loaded.labels, loaded.inputs, loaded.kind) == (("lost", "late"), ("text",), "constant")
    assert (loaded.key_id, loaded.contract_version, loaded.unsynced) == (keys.key_id, "0123456789ab", None)


def test_what_is_loaded_is_the_placed_copy_itself(source: FolderSource, settings: RegistrySettings) -> None:
    loaded = load_verified(NAME, "champion", settings, source)
    assert isinstance(loaded.predictor, FirstLabel)
    assert loaded.predictor.root == placed_folder(loaded.ref, settings)


def test_a_placed_model_loads_without_any_registry(source: FolderSource, settings: RegistrySettings) -> None:
    ref = load_verified(NAME, "champion", settings, source).ref
    assert load_placed(NAME, "champion", settings).ref == ref


def test_an_unreachable_registry_gives_the_last_verified_copy_and_says_so(
    source: FolderSource, settings: RegistrySettings
) -> None:
    ref = load_verified(NAME, "champion", settings, source).ref
    source.down = True
    loaded = load_verified(NAME, "champion", settings, source)
    assert (loaded.ref, loaded.unsynced) == (ref, "MLflow does not answer")


def test_a_full_disk_gives_the_last_verified_copy_and_says_so(
    source: FolderSource,
    settings: RegistrySettings,
    make_package: MakePackage,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ref = load_verified(NAME, "champion", settings, source).ref
    source.hold(NAME, make_package(contract_version="second"), 2)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(source, "download", full)
    loaded = load_verified(NAME, "champion", settings, source)
    assert loaded.ref == ref
    assert "No space left on device" in str(loaded.unsynced)


def test_an_unreachable_registry_and_no_copy_says_how_to_get_one(
    source: FolderSource, settings: RegistrySettings
) -> None:
    source.down = True
    with pytest.raises(
        ModelNotFound, match=r"no copy of 'parcels-intent@champion' is placed .*switchyard train"
    ):
        load_verified(NAME, "champion", settings, source)


def test_a_placed_copy_is_verified_at_every_load(source: FolderSource, settings: RegistrySettings) -> None:
    ref = load_verified(NAME, "champion", settings, source).ref
    (placed_folder(ref, settings) / "extra.json").write_text("{}")
    with pytest.raises(PackageRefused, match=r"extra\.json: expected only files that were signed"):
        load_placed(NAME, "champion", settings)


def test_a_file_swapped_between_verification_and_loading_is_refused(
    source: FolderSource, settings: RegistrySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Swapped(FirstLabel):
        def __init__(self, package: VerifiedPackage) -> None:
            file = package.root / "model.onnx"
            file.chmod(0o644)
            file.write_bytes(b"other")
            super().__init__(package)

    monkeypatch.setattr(loading, "open_predictor", Swapped)
    with pytest.raises(PackageRefused, match=r"model\.onnx: expected SHA-256"):
        load_verified(NAME, "champion", settings, source)


@pytest.mark.parametrize(
    ("confidence", "accepted"), [(0.8, True), (0.79999, False), (1.0, True), (float("nan"), False)]
)
def test_a_prediction_is_accepted_from_the_threshold_upward(confidence: float, accepted: bool) -> None:
    bound = Acceptance(threshold=0.8, max_error=0.02, confidence=0.95, method="none")
    assert bound.accepts(Prediction("lost", confidence)) is accepted
