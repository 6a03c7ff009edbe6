"""The commands of docs/guides/custody.md lead from answer to data by public tools, and show breaks."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest

from registry.evidence import DataEvidence, write_evidence
from registry.keys import ensure_signing_keys
from registry.signing import sign_package
from services.journal_file import Appended
from services.receipt_keys import public_jwks
from services.receipts import Receipts
from services.synthesis import Outcome, answer_digest
from services.values import AttemptRecord, Envelope
from tests.registry.conftest import write_package
from tests.registry.test_evidence import evidence

GUIDE = Path(__file__).parent.parent / "docs" / "guides" / "custody.md"
DATA = b"text,label\nmy card is lost,lost\n"
OUTPUT = {"reply": "Es ist unterwegs – bald „da“.", "intent": "card_arrival"}
SAID = ["Signature Verified Successfully", "same answer", "same model", "Verification succeeded",
        "about these files", "learned from this file"]  # fmt: skip

pytestmark = pytest.mark.skipif(shutil.which("jq") is None, reason="jq is not on this machine")


def follow(place: Path) -> list[str]:
    """Follow the guide's steps 1 to 4 beside `handed/`; returns what of `SAID` was said, in order."""
    steps = re.findall(r"```sh\n(.+?)\n```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)[1:5]
    tools = f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin"
    done = subprocess.run(
        ["bash", "-c", "\n".join(steps)],
        cwd=place, env={"PATH": tools, "LC_ALL": "C.UTF-8"}, capture_output=True, text=True,
    )  # fmt: skip
    return [line for line in (done.stdout + done.stderr).splitlines() if line in SAID]


@pytest.fixture
def handed(tmp_path: Path) -> Path:
    """What the deployment gives: an answer with its receipt, public keys, the package, the data file."""
    folder = tmp_path / "handed"
    folder.mkdir()
    (folder / "messages.csv").write_bytes(DATA)
    keys = ensure_signing_keys(tmp_path / "keys")
    shutil.copy(keys.public_key, folder / "model-signing.pub.pem")
    package = write_package(folder / "package")
    file = DataEvidence(role="sample-file", sha256=sha256(DATA).hexdigest(), rows=1, dvc_md5="0" * 32)
    write_evidence(package, evidence(data=(file,)))
    digest = sign_package(package, keys.private_key)
    attempts = (
        AttemptRecord("rules", "declined", "", ()),
        AttemptRecord("local", "answered", "", (), model=digest),
    )
    outcome = Outcome("local", OUTPUT, answer_digest(OUTPUT), 0.9, False, (), attempts, (), {}, 0.0)
    request = Envelope("a" * 32, "support", "acme", {"text": "hello"}, frozenset(), "b" * 64)
    receipt = Receipts(tmp_path / "receipts").issue(request, outcome, Appended("f.jsonl", 1, "c" * 64, ""))
    (folder / "answer.json").write_text(json.dumps({"output": OUTPUT, "receipt": receipt}))
    (folder / "jwks.json").write_text(json.dumps(public_jwks(tmp_path / "receipts")))
    return folder


def test_an_outsider_gets_from_an_answer_to_its_data(handed: Path) -> None:
    assert follow(handed.parent) == SAID
    assert (handed / "data.tsv").read_text().startswith("data/sample-file\t" + sha256(DATA).hexdigest())


def other_answer(handed: Path) -> None:
    answer = json.loads((handed / "answer.json").read_text())
    (handed / "answer.json").write_text(json.dumps({**answer, "output": {**OUTPUT, "intent": "age_limit"}}))


def other_receipt(handed: Path) -> None:
    answer = json.loads((handed / "answer.json").read_text())
    head, claims, signature = answer["receipt"].split(".")
    (handed / "answer.json").write_text(
        json.dumps({**answer, "receipt": f"{head}.{claims[:-4]}AAAA.{signature}"})
    )


def other_receipt_key(handed: Path) -> None:
    jwks = json.loads((handed / "jwks.json").read_text())
    jwks["keys"][0]["x"] = "A" * 43
    (handed / "jwks.json").write_text(json.dumps(jwks))


def other_model(handed: Path) -> None:
    (handed / "package" / "model.onnx").write_bytes(b"other")


def other_signer(handed: Path) -> None:
    public = ensure_signing_keys(handed.parent / "another").public_key
    shutil.copy(public, handed / "model-signing.pub.pem")


def other_data(handed: Path) -> None:
    (handed / "messages.csv").write_bytes(DATA + b"\n")


@pytest.mark.parametrize(
    ("change", "unsaid"),
    [
        (other_answer, {"same answer"}),
        (other_receipt, {"Signature Verified Successfully"}),
        (other_receipt_key, {"Signature Verified Successfully"}),
        (other_model, {"same model", "Verification succeeded", "about these files"}),
        (other_signer, {"Verification succeeded"}),
        (other_data, {"learned from this file"}),
    ],
)
def test_each_broken_link_of_the_chain_shows_at_its_step(
    handed: Path, change: Callable[[Path], None], unsaid: set[str]
) -> None:
    change(handed)
    assert unsaid <= set(SAID) - set(follow(handed.parent))
