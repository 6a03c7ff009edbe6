"""Candidates of configurations for tests: the shipped use case, changed, sealed and begun."""

import shutil
import time
from pathlib import Path

from feature_checks.folders import folder_version, shaping_contents
from feature_checks.usecase import load_usecase
from registry.config_packages import seal_config
from registry.config_store import Configs
from registry.rollout import Rollout
from registry.settings import RegistrySettings
from tests.fakes import REPOSITORY
from tests.services.rollouts.kept import begin, kept

Change = tuple[str, str, str]
"""A file, what stands in it, and what shall stand there instead."""


def usecases_in(folder: Path) -> Path:
    """The shipped use case alone, where a test may change it."""
    shutil.copytree(REPOSITORY / "usecases" / "support", folder / "usecases" / "support")
    return folder / "usecases"


def changed(usecases: Path, to: Path, *changes: Change) -> Path:
    """A copy of support with these changes."""
    shutil.copytree(usecases / "support", to)
    for name, old, new in changes:
        text = (to / name).read_text()
        assert old in text, (name, old)
        (to / name).write_text(text.replace(old, new, 1))
    return to


def begun(
    home: Path, usecases: Path, folder: Path, part: str, sealed: str | None = None, **of: object
) -> Rollout:
    """A rollout of the folder against what the use case holds, with a sealed copy of it kept."""
    version = folder_version(folder)
    settings = RegistrySettings(home=home)
    sealed = sealed or seal_config("support", version, shaping_contents(folder), settings, by="a test")
    with kept(home) as store:
        Configs(store.database).keep("support", version, sealed)
    stable = load_usecase("support", usecases).version
    return begin(
        home, component=f"support/{part}", stable=stable, candidate=version, step_since_s=time.time(), **of
    )  # type: ignore[arg-type]  # what `begin` takes
