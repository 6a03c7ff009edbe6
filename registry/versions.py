"""Places and loads a model by its version rather than by an alias: what a rollout needs of both its sides.

The placed copy is pointed to by `models/<name>/version-<n>.json`, so that revocation, verification and
`switchyard registry verify` treat it like any other.
"""

from pathlib import Path

from registry.errors import ModelNotFound
from registry.loading import LoadedModel, load_placed, place
from registry.placing import CHAMPION, PREVIOUS, PackageSource, placed_ref
from registry.records import ModelRef
from registry.settings import RegistrySettings


def version_alias(version: str) -> str:
    """The name of the pointer to a version's placed copy."""
    return f"version-{version}"


def load_version(name: str, version: str, settings: RegistrySettings) -> LoadedModel:
    """Verify the placed copy of this version anew, and load it. Needs neither MLflow nor a network.

    Raises `ModelNotFound` (with the command that gets one), `VersionRevoked`, `PackageRefused` or
    `PackageInvalid`.
    """
    for alias in (CHAMPION, PREVIOUS):
        try:
            ref = placed_ref(name, alias, settings)
        except ModelNotFound:
            continue
        if str(ref.version) == version:
            return load_placed(name, alias, settings)
    try:
        loaded = load_placed(name, version_alias(version), settings)
    except ModelNotFound:
        raise ModelNotFound(
            f"version {version} of '{name}' is not placed on this machine; "
            f"run `python -m registry.sync {name} --version {version}`"
        ) from None
    if str(loaded.ref.version) != version:
        raise ModelNotFound(f"models/{name}/{version_alias(version)}.json points to another version")
    return loaded


def place_version(ref: ModelRef, settings: RegistrySettings, source: PackageSource) -> ModelRef:
    """Fetch, verify and place exactly this version. Raises what `placing.place` raises."""
    return place(ref.name, version_alias(str(ref.version)), settings, Exactly(ref, source))


class Exactly:
    """A package source in which every alias means one version."""

    def __init__(self, ref: ModelRef, source: PackageSource) -> None:
        self._ref = ref
        self._source = source

    def resolve(self, name: str, alias: str) -> ModelRef:
        return self._ref

    def download(self, ref: ModelRef, to: Path) -> Path:
        return self._source.download(ref, to)
