"""Starting `bentoml serve`: from a clean shell, with a broken use case, and local models apart."""

import shutil
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from bench.sample_model import place_sample_model
from flows.processes import Server, free_port
from services.bootstrap import bootstrap
from services.settings import load_settings
from services.values import Caller, Context
from tests.fakes import REPOSITORY, support
from tests.integration.serving import only, serving
from tests.integration.test_serve import known_text

pytestmark = pytest.mark.integration


def test_it_starts_from_a_clean_shell_and_keeps_its_state_here(tmp_path: Path) -> None:
    """No setting at all: ready, answering, state in ./.switchyard."""
    port = free_port(0)
    bentoml = tmp_path / "bentoml"
    command = [
        "env", "-i", *(f"{name}={value}" for name, value in only({"BENTOML_HOME": str(bentoml)}).items()),
        sys.executable, "-m", "bentoml", "serve", "services.orchestrator:Orchestrator", "--port", str(port),
        "--working-dir", str(tmp_path),
    ]  # fmt: skip
    shell = ["sh", "-c", 'cd "$0" && exec "$@"', str(tmp_path), *command]
    log = tmp_path / "server.log"
    with Server("orchestrator", shell, f"http://127.0.0.1:{port}/readyz", log, start_timeout_s=150) as server:
        server.wait_ready()
        assert httpx.post(f"http://127.0.0.1:{port}/v1/decide", trust_env=False).status_code == 401
    assert (tmp_path / ".switchyard" / "keys" / "jwks.json").is_file()
    told = log.read_text()
    assert "there is no API key yet" in told
    assert "switchyard train" in told
    assert "Traceback" not in told


def test_a_broken_use_case_ends_it_with_one_readable_message(tmp_path: Path) -> None:
    """File, key and the allowed values; exit code not zero; no traceback."""
    folder = tmp_path / "usecases" / "support"
    shutil.copytree(REPOSITORY / "usecases" / "support", folder)
    file = folder / "usecase.yaml"
    file.write_text(file.read_text() + "colour: red\n")
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "bentoml",
            "serve",
            "services.orchestrator:Orchestrator",
            "--port",
            str(free_port(0)),
        ],
        env=only(
            {
                "SWITCHYARD_USECASES": str(tmp_path / "usecases"),
                "SWITCHYARD_HOME": str(tmp_path / "home"),
                "BENTOML_HOME": str(tmp_path / "bentoml"),
            }
        ),
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=150,
    )
    assert done.returncode != 0
    told = done.stdout + done.stderr
    assert "support/usecase.yaml: key 'colour' is not known; allowed: name, summary, data" in told
    assert "Traceback" not in told


async def test_local_models_may_run_as_a_service_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The orchestrator asks it; when it is gone the answer degrades and says so."""
    home = tmp_path / "home"
    ref = place_sample_model(home, support(), tmp_path / "model", threshold=0.9, labels=8)
    caller = Caller("acme", "k", frozenset({"caller"}))
    usecases = str(REPOSITORY / "usecases")
    with serving(tmp_path, home, "services.local_models:LocalModels", SWITCHYARD_USECASES=usecases) as models:
        settings = load_settings(home=home, usecases_dir=Path(usecases), local_models_url=models.url)
        runtime = bootstrap(settings)

        async def decide(number: int) -> tuple[str, bool, str | None, tuple[str, ...]]:
            given = {"text": known_text()}
            call = runtime.calls.call(support(), given, Context(), f"{number:032x}", caller, time.monotonic())
            decision = await runtime.pipeline.decide(call)
            return decision.route, decision.degraded, decision.versions.get("model"), decision.reasons

        async with runtime:
            assert (await decide(1))[:3] == ("local", False, ref.digest)
            for worker in models.workers():
                worker.suspend()
            route, degraded, _, reasons = await decide(2)
            for worker in models.workers():
                worker.resume()
    assert (route, degraded) == ("safe_default", True)
    assert any(reason.startswith("local: the local model service did not answer") for reason in reasons)
