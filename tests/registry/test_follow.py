"""A machine of its own follows what is promoted elsewhere, and keeps what served when it cannot."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bench.plain_evidence import write_plain_evidence
from registry.follow import Follower
from registry.keys import TrustedKey, ensure_signing_keys
from registry.placing import placed_ref
from registry.settings import RegistrySettings
from registry.signing import sign_package
from registry.store import Registry
from tests.registry.conftest import NAME, MakePackage
from tests.registry.sources import FolderSource
from tests.registry.vouching import move


@pytest.fixture
def source(make_package: MakePackage, trusted: tuple[TrustedKey, ...]) -> FolderSource:
    held = FolderSource(trusted)
    held.hold(NAME, make_package(), 1)
    return held


def test_what_moves_is_placed_once_and_what_stays_is_not_fetched_again(
    source: FolderSource, settings: RegistrySettings, make_package: MakePackage
) -> None:
    told: list[str] = []
    follower = Follower([NAME], "champion", settings, source, told.append)
    for _ in range(3):
        follower.look()
    assert (source.downloads, placed_ref(NAME, "champion", settings).version) == (1, 1)
    source.hold(NAME, make_package(contract_version="another"), 2)
    follower.look()
    follower.look()
    assert (source.downloads, placed_ref(NAME, "champion", settings).version) == (2, 2)
    assert [line.split(" is placed")[0] for line in told] == [
        f"{NAME}@champion: version {version}" for version in (1, 2)
    ]


def test_an_outage_is_told_once_and_what_was_placed_stays(
    source: FolderSource, settings: RegistrySettings, make_package: MakePackage
) -> None:
    told: list[str] = []
    follower = Follower(["nobody", NAME], "champion", settings, source, told.append)
    follower.look()
    source.down = True
    follower.look()
    follower.look()
    assert sum("does not answer" in line for line in told) == 3  # once for each name and for revocations
    assert placed_ref(NAME, "champion", settings).version == 1
    source.down = False
    source.hold(NAME, make_package(contract_version="another"), 2)
    follower.look()
    assert placed_ref(NAME, "champion", settings).version == 2


def test_a_second_machine_with_the_public_key_alone_follows_promotions_and_revocations_in_a_shared_mlflow(
    tmp_path: Path, make_package: MakePackage
) -> None:
    """The command as an operator runs it; SIGTERM ends it with code 0."""
    here, there = RegistrySettings(home=tmp_path / "here"), tmp_path / "there"
    keys = ensure_signing_keys(here.keys_dir)
    (there / "keys" / "trusted").mkdir(parents=True)
    (there / "keys" / "trusted" / "here.pem").write_bytes(keys.public_key.read_bytes())
    folder = make_package(sign=False)
    write_plain_evidence(folder)
    sign_package(folder, keys.private_key)
    registry = Registry(here)
    first = registry.register(folder, NAME, {}, {"use_case": "parcels"})
    move(registry, here, first)
    env = {**os.environ, "SWITCHYARD_HOME": str(there), "SWITCHYARD_MLFLOW_TRACKING_URI": here.tracking_uri}
    command = [sys.executable, "-m", "switchyard", "registry", "follow", NAME, "--every", "0.5"]
    with subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            lines = (process.stderr.readline() for _ in range(40))
            assert any(f"version {first.version} is placed" in line for line in lines)
            again = make_package(sign=False, contract_version="another")
            write_plain_evidence(again)
            sign_package(again, keys.private_key)
            second = registry.register(again, NAME, {}, {"use_case": "parcels"})
            move(registry, here, second, before=first)
            assert any(f"version {second.version} is placed" in line for line in lines)
            revoke = [*command[:4], "revoke", "--digest", second.digest, "--reason", "wrong labels"]
            done = subprocess.run(
                revoke, env={**env, "SWITCHYARD_HOME": str(here.home)}, capture_output=True, text=True
            )
            assert (done.returncode, "marked in MLflow: 1 versions" in done.stdout) == (0, True), done.stderr
            assert any(f"{second.digest[:12]} was revoked: wrong labels" in line for line in lines)
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0
        finally:
            process.kill()
    assert placed_ref(NAME, "champion", RegistrySettings(home=there)) == first
