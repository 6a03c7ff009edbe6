"""The commands of docs/guides/custody.md work with public tools alone, and catch a changed byte."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from registry.keys import ensure_signing_keys
from registry.signing import sign_package
from tests.registry.conftest import write_package

GUIDE = Path(__file__).parent.parent / "docs" / "guides" / "custody.md"
STATEMENT = {
    "predicate": {
        "buildDefinition": {
            "resolvedDependencies": [
                {"name": "data/train-file", "digest": {"sha256": "a" * 64}},
                {"name": "code", "digest": {"gitCommit": "b" * 40}},
            ]
        }
    }
}


def shell(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    beside = f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin"
    return subprocess.run(
        ["bash", "-c", command], cwd=folder, env={"PATH": beside}, capture_output=True, text=True
    )


def test_an_outsider_gets_from_a_digest_to_the_data(tmp_path: Path) -> None:
    digest_of, verify, data_of = re.findall(r"```sh\n(.+?)\n```", GUIDE.read_text(encoding="utf-8"))
    keys = ensure_signing_keys(tmp_path / "keys")
    shutil.copy(keys.public_key, tmp_path / "model-signing.pub.pem")
    folder = write_package(tmp_path / "package")
    (folder / "evidence.json").write_text(json.dumps(STATEMENT))
    digest = sign_package(folder, keys.private_key)
    assert shell(digest_of, folder).stdout.split()[0] == digest
    verified = shell(verify, folder)
    assert verified.returncode == 0, verified.stderr
    if shutil.which("jq") is None:
        pytest.skip("jq is not on this machine; the other commands worked")
    assert shell(data_of, folder).stdout.split() == ["data/train-file", "a" * 64, "code", "b" * 40]


def test_the_public_tool_refuses_a_changed_byte(tmp_path: Path) -> None:
    verify = re.findall(r"```sh\n(.+?)\n```", GUIDE.read_text(encoding="utf-8"))[1]
    keys = ensure_signing_keys(tmp_path / "keys")
    shutil.copy(keys.public_key, tmp_path / "model-signing.pub.pem")
    folder = write_package(tmp_path / "package")
    sign_package(folder, keys.private_key)
    (folder / "evidence.json").write_text('{"accuracy": 0.99}')
    assert shell(verify, folder).returncode != 0
