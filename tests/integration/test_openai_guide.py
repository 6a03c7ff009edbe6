"""The guide's script, as its reader runs it: official client, served orchestrator, real sockets."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.sample_model import place_sample_model
from tests.fakes import REPOSITORY, support
from tests.integration.serving import serving
from tests.scripted_endpoint import ScriptedEndpoint

pytestmark = pytest.mark.integration

GUIDE = REPOSITORY / "docs" / "guides"


def test_the_guides_script_runs_as_it_stands(tmp_path: Path) -> None:
    """Each line that it prints is one that the guide promises."""
    home = tmp_path / "home"
    place_sample_model(home, support(), tmp_path / "model", threshold=0.999, labels=8)
    with ScriptedEndpoint() as endpoint:
        configured = {
            "primary": {
                "base_url": endpoint.url, "api_key": "scripted", "model": "scripted", "region": "eu",
                "usd_per_million_input": 0.1, "usd_per_million_output": 0.2,
            }
        }  # fmt: skip
        with serving(
            tmp_path,
            home,
            SWITCHYARD_USECASES=str(REPOSITORY / "usecases"),
            SWITCHYARD_ENDPOINTS=json.dumps(configured),
            SWITCHYARD_WORKERS="1",
        ) as server:
            environment = {**os.environ, "SWITCHYARD_URL": server.url, "SWITCHYARD_KEY": server.key("caller")}
            done = subprocess.run(
                [sys.executable, str(GUIDE / "openai_client.py")],
                env=environment,
                capture_output=True,
                text=True,
            )
    assert done.returncode == 0, done.stderr
    told = done.stdout.splitlines()
    assert told[:4] == [
        "models  fraud, support",
        "answer  A scripted answer.", "route   cloud/primary", "ignored temperature",
    ]  # fmt: skip
    assert any(line.startswith("because local: confidence") and " would " in line for line in told)
    assert told[-6:-4] == ["receipt valid", "intent  out_of_scope"]
    assert told[-4] == "streamed 18 characters by cloud/primary"
    assert told[-3].startswith("422 response_format.json_schema.schema: requires a field")
    assert told[-2:] == ["404 not_found", "401 unauthorized"]


def test_the_guide_names_every_parameter_that_is_honoured_ignored_or_refused() -> None:
    """Its table is the code's."""
    from services.api.chat_parameters import ASKS_FOR_NOTHING, HONOURED, IGNORED, REFUSED

    guide = (GUIDE / "openai-client.md").read_text()
    assert [
        name for name in (*HONOURED, *IGNORED, *ASKS_FOR_NOTHING, *REFUSED) if f"`{name}`" not in guide
    ] == []
