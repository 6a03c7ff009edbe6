"""A retraining killed between registration and shadow is finished by the next one: one version, in shadow."""

import os
import signal
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from feature_checks.usecase import UseCase
from flows import retraining
from flows.candidates import Fresh
from flows.snapshots import Snapshot
from flows.stages import run_stage
from flows.steps.package import package
from flows.steps.sign import sign
from registry.contents import hash_files
from registry.packages import package_digest
from registry.settings import RegistrySettings
from tests.flows.shelf import Shelf, publish, worsened


class Left(Shelf):
    """The shelf as a killed process left it: what is in its folder, under the aliases of before."""

    def __init__(self, before: Shelf, name: str, tags: dict[str, str]) -> None:
        super().__init__(before.folder)
        self.aliases = before.aliases
        for kept in sorted(before.folder.iterdir()):
            self.versions.append((kept, package_digest(hash_files(kept, name))))
            self.tags[len(self.versions)] = tags


def _die(*_: Any, **__: Any) -> bool:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("it was killed")


def test_killed_between_registration_and_shadow_the_next_run_makes_no_second_version(
    built: Path, parcels: UseCase, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = (built / "model" / "toy.json").read_bytes()
    worsened(built)
    publish(built, parcels, shelf)
    (built / "model" / "toy.json").write_bytes(good)
    run_stage("evaluate", "parcels", "sample")
    package(built, parcels)
    settings = RegistrySettings()
    sign(built, settings)
    monkeypatch.setattr(retraining, "build_dir", lambda *_: built)
    monkeypatch.setattr(retraining, "_made", lambda *_: "run")
    monkeypatch.setattr(retraining, "fresh_rows", lambda *_: Fresh([True] * 20, [False] * 20))
    snapshot = Snapshot(built, pd.DataFrame(), {"digest": "d" * 64})

    def again(registry: Any) -> dict[str, Any]:
        return retraining.retrain(parcels, snapshot, "sample", settings, registry, "prefect-run")

    child = os.fork()
    if child == 0:
        try:
            monkeypatch.setattr(retraining, "promote", _die)
            again(shelf)
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status)
    assert os.WTERMSIG(status) == signal.SIGKILL
    left: Any = Left(shelf, "parcels-kind", dict(shelf.tags[1]))
    assert (len(left.versions), left.aliases) == (2, {"champion": 1})
    found = again(left)
    assert (len(left.versions), left.aliases) == (2, {"champion": 1, "shadow": 2}), found["outcome"]
    assert again(left)["shadow"] is True
    assert len(left.versions) == 2
