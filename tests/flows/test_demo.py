"""The demo's tables and its script say what happened, and nothing else."""

import base64
import csv
import json
from io import StringIO
from pathlib import Path
from typing import get_args

import pytest
from rich.console import Console

from feature_checks.usecase import UseCase, load_usecase
from flows import demo, demo_traffic
from flows.cli import Chapter
from flows.demo_loop_folder import make_small
from flows.demo_report import answer_panel, egress_panel, route_table
from flows.demo_traffic import Client, Message, Observed, read_script, receipt_claims
from flows.errors import StepError
from tests.toy import write_text_usecase


def _text(renderable: object) -> str:
    console = Console(file=StringIO(), width=140)
    console.print(renderable)
    return console.file.getvalue()  # type: ignore[attr-defined]  — a StringIO, given above


def test_the_table_counts_each_route_and_leaves_unlabelled_messages_out_of_the_correct_share() -> None:
    observed = [
        Observed("local", True, 2.0, 0.0, False),
        Observed("local", False, 4.0, 0.0, False),
        Observed("cloud/primary", None, 900.0, 0.0001, False),
    ]
    table = _text(route_table(observed, "t"))
    lines = {line.split()[0]: line for line in table.splitlines() if line.strip()}
    assert "50.0 %" in lines["local"]
    assert "66.7 %" in lines["local"]
    assert "–" in lines["cloud/primary"]
    assert "$0.0001" in lines["all"]


def test_the_table_fits_a_terminal_of_80_columns_with_nothing_cut() -> None:
    observed = [Observed("local", True, 3.8, 0.0, False)] * 195
    observed += [Observed("cloud/primary", False, 958.6, 0.0123, False)] * 68
    observed += [Observed("safe_default", None, 13384.5, 0.0, True)]
    console = Console(file=StringIO(), width=80)
    console.print(route_table(observed, "t"))
    shown = console.file.getvalue()  # type: ignore[attr-defined]  — a StringIO, given above
    assert "…" not in shown
    for whole in ("13384 ms", "$0.8364", "959 ms", "cloud/primary", "100.0 %"):
        assert whole in shown


def test_no_message_is_sent_after_the_time_for_traffic(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_traffic, "TRAFFIC_S", -1.0)
    client = Client("http://127.0.0.1:9", "sk-none", load_usecase("support"))
    assert client.replay([Message({"text": "hello"}, None)], lambda: None) == []


def test_the_egress_panel_says_so_when_the_secret_left() -> None:
    def body(said: str) -> bytes:
        return json.dumps({"messages": [{"role": "user", "content": said}]}).encode()

    clean = _text(egress_panel("t", {"text": "my 4111"}, [body("my <CARD_1>")], "4111"))
    assert "<CARD_1>" in clean
    assert "not in the bytes" in clean
    assert "nothing left" in _text(egress_panel("t", {"text": "my 4111"}, [], "4111"))
    assert "THE SECRET LEFT" in _text(
        egress_panel("t", {"text": "my 4111"}, [body("a"), body("my 4111")], "4111")
    )


def test_an_answer_panel_shows_every_reason_and_that_the_answer_is_degraded() -> None:
    answer = {
        "output": {"reply": "Hello"},
        "route": "safe_default",
        "degraded": True,
        "reasons": ["first", "second"],
    }
    shown = _text(answer_panel("t", {"text": "q"}, answer, "verified"))
    for expected in ("Hello", "safe_default", "degraded", "first", "second", "verified"):
        assert expected in shown


def test_receipt_claims_are_read_for_display() -> None:
    payload = base64.urlsafe_b64encode(json.dumps({"cost_usd": 0.5}).encode()).rstrip(b"=").decode()
    assert receipt_claims(f"x.{payload}.y") == {"cost_usd": 0.5}


def test_every_shipped_demo_script_fits_its_use_case() -> None:
    usecase = load_usecase("support")
    script = read_script(usecase)
    assert set(script.question) == set(script.personal) == set(usecase.input)
    assert script.secret in str(script.personal)


def test_a_demo_script_with_another_key_is_refused(tmp_path: Path) -> None:
    (tmp_path / "demo.yaml").write_text("question: {}\npersonal: {}\nsecret: a\nmore: b\n")
    usecase = load_usecase("support").model_copy(update={"root": tmp_path})
    assert isinstance(usecase, UseCase)
    with pytest.raises(StepError, match="expected just `question`, `personal`, `secret`"):
        read_script(usecase)


def test_the_command_offers_each_chapter_in_the_order_in_which_they_are_told() -> None:
    assert list(get_args(Chapter)) == list(demo.CHAPTERS)


def test_the_loops_small_use_case_is_sound_and_its_traffic_was_never_trained_on(tmp_path: Path) -> None:
    small = make_small(load_usecase("support"), tmp_path)
    assert small is not None
    made = load_usecase(small.name, tmp_path / "usecases")
    with (tmp_path / "usecases" / small.name / made.data.sample).open(encoding="utf-8", newline="") as file:
        trained = list(csv.DictReader(file))
    assert len(trained) == small.trained_on
    assert {row[made.label] for row in trained} == set(small.known_labels)
    assert {label for _, label in small.usual} == set(small.known_labels)
    assert {label for _, label in small.shifted} == set(small.new_labels)
    known = {tuple(row[name] for name in made.input) for row in trained}
    assert not known & {tuple(fields.values()) for fields, _ in (*small.usual, *small.shifted)}
    assert "cloud" not in made.plan
    assert len(small.usual) >= 100  # a window


def test_a_use_case_of_few_labels_has_no_loop_to_show(tmp_path: Path) -> None:
    write_text_usecase(tmp_path / "usecases")
    assert make_small(load_usecase("parcels", tmp_path / "usecases"), tmp_path) is None
