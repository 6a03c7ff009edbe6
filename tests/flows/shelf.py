"""A registry in a folder, and versions of the small use case to fill it: no MLflow, no Prefect."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from feature_checks.usecase import UseCase
from flows.stages import run_stage
from flows.steps.package import package
from flows.steps.register import register
from flows.steps.sign import sign
from registry.contents import hash_files
from registry.errors import ModelNotFound
from registry.packages import package_digest
from registry.records import ModelRef, RegisteredVersion
from registry.settings import RegistrySettings


class Shelf:
    """A registry in a folder: what `register` and `place` ask of the real one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.versions: list[tuple[Path, str]] = []
        self.aliases: dict[str, int] = {}
        self.tags: dict[int, Mapping[str, str]] = {}

    def register(
        self,
        folder: Path,
        name: str,
        metrics: Mapping[str, float],
        tags: Mapping[str, str],
        run_id: str | None,
    ) -> ModelRef:
        digest = package_digest(hash_files(folder, name))
        for at, (_, known) in enumerate(self.versions, 1):
            if known == digest:
                return ModelRef(name, at, digest)
        kept = self.folder / str(len(self.versions) + 1)
        shutil.copytree(folder, kept)
        self.versions.append((kept, digest))
        self.tags[len(self.versions)] = tags
        return ModelRef(name, len(self.versions), digest)

    def set_alias(self, name: str, alias: str, version: int, line: str | None = None) -> None:
        self.aliases[alias] = version

    def note(self, ref: ModelRef, tags: Mapping[str, str]) -> None:
        self.tags[ref.version] = {**self.tags[ref.version], **tags}

    def resolve(self, name: str, alias: str) -> ModelRef:
        if alias not in self.aliases:
            raise ModelNotFound("no such alias")
        version = self.aliases[alias]
        return ModelRef(name, version, self.versions[version - 1][1])

    def download(self, ref: ModelRef, to: Path) -> Path:
        return Path(shutil.copytree(self.versions[ref.version - 1][0], to / "package"))

    def drop_alias(self, name: str, alias: str) -> None:
        self.aliases.pop(alias, None)

    def version(self, name: str, number: int) -> ModelRef:
        if not 0 < number <= len(self.versions):
            raise ModelNotFound("no such version")
        return ModelRef(name, number, self.versions[number - 1][1])

    def list_models(self) -> list[RegisteredVersion]:
        if not self.versions:
            return []
        name = json.loads((self.versions[0][0] / "package.json").read_text())["name"]
        return [
            RegisteredVersion(
                self.version(name, number),
                tuple(alias for alias, means in self.aliases.items() if means == number),
                "k" * 16,
                self.tags[number]["use_case"],
                "toy",
                "2026-01-01T00:00:00+00:00",
            )
            for number in range(len(self.versions), 0, -1)
        ]

    def newest(self, name: str) -> ModelRef:
        return self.version(name, len(self.versions))


def publish(build: Path, usecase: UseCase, shelf: Any, hold: bool = False) -> dict[str, Any]:
    settings = RegistrySettings()
    package(build, usecase)
    sign(build, settings)
    return register(build, usecase, settings, shelf, hold=hold)


def worsened(build: Path) -> None:
    """The model that was trained, as if it had got every word wrong."""
    file = build / "model" / "toy.json"
    content = json.loads(file.read_text())
    weights = content["weights"]
    content["weights"] = {"lost": weights["late"], "late": weights["broken"], "broken": weights["lost"]}
    file.write_text(json.dumps(content))
    run_stage("evaluate", "parcels", "sample")
