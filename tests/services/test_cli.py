"""The commands of this room, as a person or a script would call them."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from services.errors import ConfigError, NotFound
from switchyard.cli import build
from tests.served import served

Run = Callable[..., Result]


@pytest.fixture
def run(home: Path) -> Run:
    """Runs one command line in this process."""
    return lambda *words, **more: CliRunner().invoke(build(), words, **more)


def make_key(run: Run, *words: str) -> dict[str, str]:
    made = run("keys", "create", "--tenant", "acme", "--role", "caller", "--json", *words)
    assert made.exit_code == 0, made.output
    found: dict[str, str] = json.loads(made.stdout)
    return found


def test_a_key_is_shown_once(run: Run) -> None:
    """`create` prints it; `list` shows its id, tenant and state, never the key."""
    made = make_key(run, "--role", "auditor", "--expires-days", "7")
    assert made["key"].startswith("sk-")
    listed = run("keys", "list", "--json")
    assert made["key"] not in listed.stdout
    (row,) = json.loads(listed.stdout)
    assert (row["id"], row["tenant"], row["roles"]) == (made["id"], "acme", ["auditor", "caller"])
    assert row["state"] == "active"
    assert made["id"] in run("keys", "list").stdout


def test_a_key_printed_for_people_is_alone_on_standard_output(run: Run) -> None:
    """So that `KEY=$(switchyard keys create …)` works."""
    made = run("keys", "create", "--tenant", "acme", "--role", "caller")
    assert made.stdout.strip().startswith("sk-")
    assert len(made.stdout.split()) == 1


def test_keys_are_rotated_and_revoked_by_id(run: Run) -> None:
    """A rotated key stays good during the overlap; a revoked one is closed at once."""
    made = make_key(run)
    rotated = run("keys", "rotate", made["id"], "--overlap-hours", "1", "--json")
    new = json.loads(rotated.stdout)
    assert new["replaces"] == made["id"]
    states = {row["id"]: row["state"] for row in json.loads(run("keys", "list", "--json").stdout)}
    assert states == {made["id"]: "active", new["id"]: "active"}
    assert run("keys", "revoke", made["id"]).exit_code == 0
    states = {row["id"]: row["state"] for row in json.loads(run("keys", "list", "--json").stdout)}
    assert states == {made["id"]: "revoked", new["id"]: "active"}


@pytest.mark.parametrize(
    ("words", "error", "named"),
    [
        (("keys", "create", "--tenant", "A B", "--role", "caller"), ConfigError, "tenant"),
        (("keys", "create", "--tenant", "a", "--role", "king"), ConfigError, "role"),
        (("keys", "rotate"), ConfigError, "KEY_ID"),
        (("keys", "revoke", "000000000000"), NotFound, "keys list"),
        (("audit", "show"), ConfigError, "--last"),
        (("audit", "show", "0" * 32), NotFound, "no decision"),
        (("receipt", "verify", "no-such-file"), ConfigError, "expected a receipt"),
    ],
)
def test_a_wrong_command_says_what_was_expected(
    run: Run, words: tuple[str, ...], error: type[Exception], named: str
) -> None:
    """Our own error, which the console script prints on one line with exit code 1."""
    failed = run(*words)
    assert isinstance(failed.exception, error)
    assert named in str(failed.exception)


async def test_a_decision_is_audited_and_its_receipt_verified_offline(home: Path, run: Run) -> None:
    """The journal shows it redacted, the chain holds, and the receipt needs the public keys alone."""
    async with served(home) as app:
        answer = (await app.decide("Card 4111 1111 1111 1111")).json()
    shown = run("audit", "show", answer["id"])
    assert "<CARD_1>" in shown.stdout
    assert (
        "4111 1111 1111 1111" not in shown.stdout
    )  # the whole number: digests may hold four digits by chance
    assert "4111111111111111" not in shown.stdout
    assert json.loads(run("audit", "show", "--last", "3", "--json").stdout)[0]["id"] == answer["id"]
    assert answer["id"] in run("audit", "show", "--last", "3").stdout
    assert json.loads(run("audit", "verify", "--json").stdout)["ok"] is True
    jwks = str(home / "keys" / "jwks.json")
    told = run("receipt", "verify", answer["receipt"], "--jwks", jwks)
    assert told.exit_code == 0
    assert answer["id"] in told.stdout
    held = home / "receipt.jws"
    held.write_text(answer["receipt"])
    assert json.loads(run("receipt", "verify", str(held), "--json").stdout)["valid"] is True
    assert run("receipt", "verify", "-", input=answer["receipt"]).exit_code == 0
    head, payload, signature = answer["receipt"].split(".")
    changed = f"{head}.{payload[:-2]}AA.{signature}"
    refused = run("receipt", "verify", changed, "--json")
    assert refused.exit_code == 1
    assert json.loads(refused.stdout)["valid"] is False


async def test_receipts_of_a_rotated_key_stay_verifiable(home: Path, run: Run) -> None:
    """`keys rotate --receipts` begins a new key and keeps the old public half."""
    async with served(home) as app:
        old = (await app.decide()).json()["receipt"]
    assert "kid" in json.loads(run("keys", "rotate", "--receipts", "--json").stdout)
    assert run("receipt", "verify", old).exit_code == 0


async def test_a_changed_journal_fails_the_audit(home: Path, run: Run) -> None:
    """One flipped byte: exit code 1, and the record is named."""
    async with served(home) as app:
        for _ in range(3):
            await app.decide()
    (file,) = (home / "journal").glob("*.jsonl")
    content = file.read_bytes()
    file.write_bytes(content.replace(b'"local"', b'"cloud"', 1))
    broken = run("audit", "verify", "--json")
    assert broken.exit_code == 1
    assert json.loads(broken.stdout)["problems"]


def test_every_command_has_help_with_an_example(run: Run) -> None:
    """As people read it first."""
    for words in (
        ("keys", "create"), ("keys", "list"), ("keys", "rotate"), ("keys", "revoke"),
        ("audit", "show"), ("audit", "verify"), ("receipt", "verify"), ("evaluate",),
    ):  # fmt: skip
        helped = run(*words, "--help")
        assert helped.exit_code == 0
        assert "Example: switchyard " + " ".join(words) in " ".join(helped.output.split())
