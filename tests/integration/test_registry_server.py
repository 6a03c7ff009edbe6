"""The registry against a real MLflow server, and `registry.sync` as the process that serving starts."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bench.plain_evidence import write_plain_evidence
from flows.processes import Server, free_port
from registry.errors import PackageRefused, RegistryUnavailable
from registry.keys import ensure_signing_keys
from registry.placing import place, placed_package, placed_ref
from registry.records import ModelRef
from registry.settings import RegistrySettings
from registry.signing import sign_package
from registry.store import Registry
from tests.registry.conftest import NAME, small_graph, write_package
from tests.registry.vouching import move

pytestmark = pytest.mark.integration

TAGS = {"use_case": "parcels"}


def serve(home: Path) -> Server:
    """MLflow with a database and an artifact store of its own, as on another machine."""
    port = free_port(0)
    options = ["--backend-store-uri", f"sqlite:///{home / 'mlflow.db'}", "--workers", "1"]
    options += [
        "--artifacts-destination",
        str(home / "artifacts"),
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
    ]
    env = {"DO_NOT_TRACK": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    command = [sys.executable, "-m", "mlflow", "server", *options]
    return Server(
        "MLflow", command, f"http://127.0.0.1:{port}/health", home / "log", env, start_timeout_s=240
    )


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serve(tmp_path_factory.mktemp("mlflow")) as started:
        started.wait_ready()
        yield started


@pytest.fixture(scope="module")
def here(server: Server, tmp_path_factory: pytest.TempPathFactory) -> RegistrySettings:
    home = tmp_path_factory.mktemp("here")
    ensure_signing_keys(home / "keys")
    return RegistrySettings(home=home, mlflow_tracking_uri=server.health_url.removesuffix("/health"))


@pytest.fixture(scope="module")
def registered(here: RegistrySettings) -> ModelRef:
    folder = signed(here, here.home / "work" / "package")
    (folder / "model.onnx").write_bytes(small_graph(os.urandom(20_000_000)))
    write_plain_evidence(folder)
    sign_package(folder, here.keys_dir / "model-signing.pem")
    registry = Registry(here)
    run_id = registry.start_run("parcels", "first", {"alpha": 1.0})
    ref = registry.register(folder, NAME, {"accuracy": 0.93}, TAGS, run_id=run_id)
    assert registry.register(folder, NAME, {"accuracy": 0.93}, TAGS, run_id=run_id) == ref
    move(registry, here, ref)
    return ref


def signed(settings: RegistrySettings, folder: Path, **changes: object) -> Path:
    write_package(folder, **changes)  # type: ignore[arg-type]  # `name` is a str where it is given
    write_plain_evidence(folder)
    sign_package(folder, ensure_signing_keys(settings.keys_dir).private_key)
    return folder


def sync(settings: RegistrySettings, *names: str) -> tuple[int, list[dict[str, object]]]:
    home, uri = str(settings.home), settings.tracking_uri
    env = {**os.environ, "SWITCHYARD_HOME": home, "SWITCHYARD_MLFLOW_TRACKING_URI": uri}
    done = subprocess.run([sys.executable, "-m", "registry.sync", *names], env=env, capture_output=True)
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


def test_a_model_goes_through_a_server_and_comes_back_verified(
    here: RegistrySettings, registered: ModelRef
) -> None:
    registry = Registry(here)
    assert registry.resolve(NAME, "champion") == registered
    assert place(NAME, "champion", here, registry) == registered
    assert placed_package(registered, here).digest == registered.digest
    (listed,) = registry.list_models()
    assert (listed.ref, listed.aliases, listed.use_case) == (registered, ("champion",), "parcels")
    assert not (here.home / "mlflow-artifacts").exists()


def test_sync_as_a_process_places_from_the_server(
    here: RegistrySettings, registered: ModelRef, tmp_path: Path
) -> None:
    """A serving machine with the public key alone."""
    replica = RegistrySettings(home=tmp_path / "replica", mlflow_tracking_uri=here.tracking_uri)
    (replica.keys_dir / "trusted").mkdir(parents=True)
    (replica.keys_dir / "trusted" / "trainer.pem").write_bytes(
        (here.keys_dir / "model-signing.pub.pem").read_bytes()
    )
    code, (line,) = sync(replica, NAME)
    assert (code, line["status"], line["digest"]) == (0, "placed", registered.digest)
    assert placed_ref(NAME, "champion", replica) == registered


def test_sync_without_a_trusted_key_places_nothing(
    here: RegistrySettings, registered: ModelRef, tmp_path: Path
) -> None:
    replica = RegistrySettings(home=tmp_path / "replica", mlflow_tracking_uri=here.tracking_uri)
    code, (line,) = sync(replica, NAME)
    assert (code, line["status"], line["version"]) == (1, "failed", None)
    assert "copy the signer's public key to keys/trusted/" in str(line["error"])


def test_files_changed_on_the_server_are_refused_and_the_old_copy_serves(
    server: Server, here: RegistrySettings, registered: ModelRef, tmp_path: Path
) -> None:
    registry = Registry(here)
    place(NAME, "champion", here, registry)
    second = registry.register(signed(here, tmp_path / "package", contract_version="second"), NAME, {}, TAGS)
    (kept,) = (server.log.parent / "artifacts").rglob(f"package-{second.digest[:12]}")
    (kept / "model_card.md").write_text("# Better\n")
    move(registry, here, second)
    try:
        with pytest.raises(PackageRefused, match=r"model_card\.md: expected SHA-256"):
            place(NAME, "champion", here, registry)
        assert placed_ref(NAME, "champion", here) == registered
    finally:
        move(registry, here, registered)


@contextmanager
def frozen(server: Server) -> Iterator[None]:
    """The server accepts connections and answers nothing: worse than one that is gone."""
    assert server._process is not None
    os.killpg(server._process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.killpg(server._process.pid, signal.SIGCONT)


def test_a_server_that_stops_answering_is_named_within_seconds_and_what_is_placed_still_loads(
    server: Server, here: RegistrySettings, registered: ModelRef
) -> None:
    registry = Registry(here)
    place(NAME, "champion", here, registry)
    with frozen(server):
        started = time.monotonic()
        with pytest.raises(RegistryUnavailable, match="models already placed go on serving"):
            registry.resolve(NAME, "champion")
        assert time.monotonic() - started < 20  # two tries of three seconds, a pause, and a busy machine
        code, (line,) = sync(here, NAME)
    assert (code, line["status"], line["version"]) == (1, "failed", registered.version)
    assert "does not answer" in str(line["error"])
    assert placed_package(placed_ref(NAME, "champion", here), here).digest == registered.digest
    assert registry.resolve(NAME, "champion") == registered
