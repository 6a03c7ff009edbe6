"""Prompts: slots filled once, user text fenced in, broken files refused by name."""

import dataclasses
import shutil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feature_checks.usecase import load_usecase
from services.errors import ConfigError
from services.targets.prompt import load_prompt
from tests.fakes import REPOSITORY, support

USECASE = support()
PROMPT = load_prompt(USECASE)


def prompt_of(tmp_path, text):
    shutil.copytree(REPOSITORY / "usecases" / "support", tmp_path / "support")
    (tmp_path / "support" / "prompts" / "reply.md").write_text(text, encoding="utf-8")
    return load_prompt(load_usecase("support", tmp_path))


def test_the_system_part_lists_every_allowed_label_and_no_slot_is_left():
    assert "{{" not in PROMPT.system
    assert "\nactivate_my_card\n" in PROMPT.system
    assert "\nout_of_scope\n" in PROMPT.system


def test_the_text_stands_between_its_markers():
    assert PROMPT.render({"text": "Where is my card?"}) == "<<<MESSAGE\nWhere is my card?\nMESSAGE>>>"


def test_what_looks_like_a_slot_in_a_text_stays_as_it_is():
    assert "{{ labels }} {{ text }}" in PROMPT.render({"text": "{{ labels }} {{ text }}"})


def test_a_placeholder_for_personal_data_is_left_whole():
    assert "<CARD_1>" in PROMPT.render({"text": "my <CARD_1>"})


@given(st.text(alphabet=st.sampled_from("<>＜＞﹤﹥MESAG \n")) | st.text())
def test_no_text_can_close_its_fence_or_open_another(text):
    rendered = PROMPT.render({"text": text})
    assert rendered.count("<<<") == rendered.count(">>>") == 1
    assert rendered.startswith("<<<MESSAGE\n")
    assert rendered.endswith("\nMESSAGE>>>")
    assert "＜＜＜" not in rendered


def test_the_version_changes_with_the_prompt_and_with_the_labels(tmp_path):
    other = prompt_of(tmp_path, "Be brief. {{ labels }}\n---\n<<<M\n{{ text }}\nM>>>")
    assert len(PROMPT.version) == 12
    assert other.version != PROMPT.version
    assert dataclasses.replace(other) == other


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("no cut at all", "expected one line '---'"),
        ("a\n---\nb\n---\nc", "got 2"),
        (
            "{{ text }}\n---\n<<<M\n{{ text }}\nM>>>",
            "system part: {{ text }} is not known here; allowed: labels",
        ),
        ("a\n---\n<<<M\n{{ message }}\nM>>>", "user part: {{ message }} is not known here; allowed: text"),
        ("a\n---\nThe message: {{ text }}", "on a line of its own"),
        ("a\n---\n{{ text }}\n", "on a line of its own"),
        ("a\n---\n<<<M\n{{ text\nM>>>", "opens no"),
    ],
)
def test_a_broken_prompt_is_refused_by_file_and_place(tmp_path, text, message):
    with pytest.raises(ConfigError) as raised:
        prompt_of(tmp_path, text)
    assert "support/prompts/reply.md" in raised.value.message
    assert message in raised.value.message


def test_a_prompt_that_is_not_utf8_is_refused(tmp_path):
    shutil.copytree(REPOSITORY / "usecases" / "support", tmp_path / "support")
    (tmp_path / "support" / "prompts" / "reply.md").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="UTF-8"):
        load_prompt(load_usecase("support", tmp_path))
