"""The only door to a model: what comes out was verified byte for byte in the copy that is loaded."""

from dataclasses import dataclass

from registry.errors import MoveRefused, PlacingFailed, RegistryUnavailable, TrustInvalid
from registry.placing import PackageSource, place, placed_package, placed_ref, refused_move
from registry.records import Acceptance, ModelRef
from registry.runtimes import Predictor, open_predictor
from registry.settings import RegistrySettings
from registry.trust_files import read_trust

__all__ = ["LoadedModel", "is_revoked", "load_placed", "load_verified", "place", "placed_ref", "refused_move"]


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model ready to answer. `unsynced` says why it may be older than what MLflow has, or is None."""

    ref: ModelRef
    predictor: Predictor
    acceptance: Acceptance
    labels: tuple[str, ...]
    inputs: tuple[str, ...]
    kind: str
    key_id: str
    contract_version: str
    unsynced: str | None = None


def load_placed(name: str, alias: str, settings: RegistrySettings) -> LoadedModel:
    """Verify the copy placed on this machine anew, and load it. Needs neither MLflow nor a network.

    Raises `ModelNotFound` (with the command that gets one), `PackageRefused` or `PackageInvalid`.
    """
    return _load(placed_ref(name, alias, settings), settings, alias)


def load_verified(
    name: str, alias: str, settings: RegistrySettings, source: PackageSource | None = None
) -> LoadedModel:
    """Place what `alias` means in MLflow now, and load that same copy; the last copy when MLflow is away.

    For commands and flows: it imports MLflow (6 s, 200 MB). Serving runs `registry.sync` instead.
    """
    if source is None:
        from registry.store import Registry

        source = Registry(settings)
    try:
        ref = place(name, alias, settings, source)
    except (RegistryUnavailable, PlacingFailed, MoveRefused) as error:
        return _load(placed_ref(name, alias, settings), settings, alias, unsynced=str(error))
    return _load(ref, settings, alias)


def is_revoked(loaded: LoadedModel, settings: RegistrySettings) -> bool:
    """Must a model that serves stop? Unreadable revocations revoke nothing that was loaded before."""
    try:
        return read_trust(settings).why_revoked(loaded.ref.digest, loaded.key_id) is not None
    except TrustInvalid:
        return False


def _load(ref: ModelRef, settings: RegistrySettings, alias: str, unsynced: str | None = None) -> LoadedModel:
    package = placed_package(ref, settings, alias)
    predictor = open_predictor(package)
    manifest = package.manifest
    return LoadedModel(
        ref=ref,
        predictor=predictor,
        acceptance=manifest.acceptance,
        labels=manifest.labels,
        inputs=manifest.inputs,
        kind=manifest.kind,
        key_id=package.key_id,
        contract_version=manifest.contract_version,
        unsynced=unsynced,
    )
