"""Where packages come from in tests: folders on this disk instead of MLflow."""

import shutil
from pathlib import Path

from registry.errors import ModelNotFound, RegistryUnavailable
from registry.keys import TrustedKey
from registry.records import ModelRef, RegisteredVersion
from registry.signing import verify_package


class FolderSource:
    """Holds (name, alias) -> version and folder; `down` makes it unreachable; counts downloads."""

    def __init__(self, trusted: tuple[TrustedKey, ...]) -> None:
        self._trusted = trusted
        self._held: dict[tuple[str, str], tuple[ModelRef, Path]] = {}
        self.down = False
        self.downloads = 0
        self.listed: list[RegisteredVersion] = []

    def hold(self, name: str, folder: Path, version: int, alias: str = "champion") -> ModelRef:
        ref = ModelRef(name, version, verify_package(folder, self._trusted, name).digest)
        self._held[name, alias] = ref, folder
        return ref

    def list_models(self) -> list[RegisteredVersion]:
        if self.down:
            raise RegistryUnavailable("MLflow does not answer")
        return self.listed

    def resolve(self, name: str, alias: str) -> ModelRef:
        if self.down:
            raise RegistryUnavailable("MLflow does not answer")
        if (name, alias) not in self._held:
            raise ModelNotFound(f"model '{name}' has no alias '{alias}'")
        return self._held[name, alias][0]

    def download(self, ref: ModelRef, to: Path) -> Path:
        self.downloads += 1
        folder = next(folder for held, folder in self._held.values() if held == ref)
        return Path(shutil.copytree(folder, to / "package", symlinks=True))
