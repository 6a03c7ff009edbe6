"""`switchyard receipt verify` on whatever files there are: a clear error, and nothing of them repeated."""

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from services.errors import ServiceError
from services.receipt_keys import ensure_receipt_key, public_jwks
from services.receipts import TYPE
from services.signer import Signer
from switchyard.cli import build

SECRET = "planted-4111"
BAD = {
    "nested": '{"a":' * 100_000 + f'"{SECRET}"' + "}" * 100_000,
    "NaN": f'{{"{SECRET}": NaN}}',
    "infinite": f'{{"{SECRET}": 1e999}}',
    "half a character": f'{{"{SECRET}": "\\ud800"}}',
    "many digits": f'{{"{SECRET}": {"9" * 10_000}}}',
    "a list": f'["{SECRET}"]',
    "no JSON": SECRET,
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A right receipt and the keys that it was signed with."""
    folder = tmp_path_factory.mktemp("receipts")
    ensure_receipt_key(folder / "keys")
    claims = {
        "v": 1, "id": "a" * 32, "iat": 1, "tenant": "t", "use_case": "u", "versions": {}, "request": {},
        "answer": {}, "route": "local", "degraded": False, "attempts": [], "validators": [],
        "journal": {"file": "f", "seq": 1, "hash": "0"},
    }  # fmt: skip
    paths = {name: folder / name for name in ("receipt", "jwks", "given")}
    paths["receipt"].write_text(Signer(folder / "keys", TYPE).sign(claims))
    paths["jwks"].write_text(json.dumps(public_jwks(folder / "keys")))
    return paths


def refused(*arguments: str) -> str:
    """What is said; anything else than an error of ours is a traceback, and fails."""
    found = CliRunner().invoke(build(), ["receipt", "verify", *arguments])
    assert found.exit_code != 0
    assert isinstance(found.exception, SystemExit | ServiceError), repr(found.exception)[:200]
    return found.output + str(found.exception)


def verify(files: dict[str, Path], option: str) -> str:
    jwks = files["given"] if option == "--jwks" else files["jwks"]
    more = () if option == "--jwks" else (option, str(files["given"]))
    return refused(str(files["receipt"]), "--jwks", str(jwks), *more)


def test_the_right_receipt_is_taken(files):
    arguments = ["receipt", "verify", str(files["receipt"]), "--jwks", str(files["jwks"])]
    assert CliRunner().invoke(build(), arguments).exit_code == 0


@pytest.mark.parametrize("option", ["--jwks", "--answer", "--request"])
@pytest.mark.parametrize("content", BAD.values(), ids=BAD)
def test_a_file_that_is_no_json_we_can_hash_is_a_clear_error(files, option, content):
    files["given"].write_text(content)
    said = verify(files, option)
    assert "expected" in said
    assert SECRET not in said


@pytest.mark.parametrize("receipt", [SECRET, f"{SECRET}\0", "ey.\udcff.x", f"ey{SECRET}.a.b", "x" * 5000])
def test_what_is_no_receipt_is_not_repeated(files, receipt):
    assert SECRET not in refused(receipt, "--jwks", str(files["jwks"]))


@pytest.mark.parametrize("seconds", ["nan", "inf"])
def test_an_age_that_is_no_number_is_refused(files, seconds):
    said = refused(str(files["receipt"]), "--jwks", str(files["jwks"]), "--max-age-s", seconds)
    assert "max-age-s" in said


WHATEVER = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
@given(
    st.sampled_from(["--jwks", "--answer", "--request"]),
    st.binary(max_size=60)
    | WHATEVER.map(lambda value: json.dumps(value).encode())
    | WHATEVER.map(lambda value: json.dumps({"keys": [value, {"kid": value, "x": value}]}).encode()),
)
def test_whatever_the_files_hold_there_is_no_traceback(files, option, content):
    files["given"].write_bytes(content)
    verify(files, option)
