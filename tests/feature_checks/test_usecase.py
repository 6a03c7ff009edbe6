"""A use-case folder is read strictly, and a broken one is refused by file, key and what is allowed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from feature_checks.errors import UseCaseError
from feature_checks.usecase import UseCase, list_usecases, load_usecase
from tests.toy import LABELS, OUTSIDE, write_text_usecase

SECRET = "PLANTED-4111"
Change = Callable[[dict[str, Any]], None]


def changed(folder: Path, change: Change) -> Path:
    """A use case whose YAML was changed after it was written."""
    root = write_text_usecase(folder)
    described = yaml.safe_load((root / "usecase.yaml").read_text())
    change(described)
    (root / "usecase.yaml").write_text(yaml.safe_dump(described, sort_keys=False))
    return root


def setting(path: str, value: object) -> Change:
    def change(described: dict[str, Any]) -> None:
        *above, last = path.split(".")
        for key in above:
            described = described[key]
        described[last] = value

    return change


def without(key: str) -> Change:
    return lambda described: described.pop(key)


BROKEN: dict[str, tuple[Change, str]] = {
    "an unknown key": (
        setting("plans", []),
        r"key 'plans' is not known; allowed: name, summary, data, .*plan",
    ),
    "an unknown key inside": (
        setting("local.risk.max_errors", 0.1),
        r"key 'local.risk.max_errors' is not known; allowed: max_error, confidence",
    ),
    "an unknown key of a field": (
        setting("input.text.maximal", 3),
        r"key 'input.text.maximal' is not known; allowed: type, tags, required",
    ),
    "a reserved key": (setting("root", "/"), r"key 'root' is not known"),
    "a missing key": (without("plan"), r"key 'plan' is missing"),
    "a wrong type": (setting("data.min_rows_per_label", SECRET), r"data.min_rows_per_label: .*integer"),
    "a number as text": (setting("local.risk.max_error", "0.1"), r"local.risk.max_error: .*number"),
    "a value out of its bounds": (
        setting("local.risk.max_error", 1.5),
        r"local.risk.max_error: .*less than 1",
    ),
    "an unknown field type": (setting("input.text.type", SECRET), r"input.text.type: .*'string', 'number'"),
    "an unknown step": (setting("plan", [SECRET]), r"plan.0: .*'rules', 'cache', 'local'"),
    "a step without its part": (setting("plan", ["cloud"]), r"plan: names 'cloud', but there is no 'cloud:'"),
    "a step named twice": (setting("plan", ["local", "local"]), r"plan: a step is named twice"),
    "a step after the last": (setting("plan", ["safe_default", "local"]), r"safe_default must come last"),
    "a label that is no output": (
        setting("label", "text"),
        r"label: 'text' is not an output field; outputs: kind",
    ),
    "a default of other fields": (setting("safe_default", {}), r"safe_default: .* differs in kind"),
    "another name": (
        setting("name", "other"),
        r"name: expected 'parcels' \(the folder's name\), got 'other'",
    ),
    "a file that is not there": (setting("data.sample", "no.csv"), r"data.sample: there is no file 'no.csv'"),
    "a path that leads out": (
        setting("data.sample", "../../x"),
        r"'../../x' leads out of the use-case folder",
    ),
    "an http address": (
        setting("data.full", {"train": {"url": "http://x/y", "sha256": "0" * 64}}),
        r"data.full.train.url: .*https",
    ),
    "not a number": (setting("local.risk.max_error", float("nan")), r"local.risk.max_error: .*finite"),
}


@pytest.mark.parametrize(("change", "message"), BROKEN.values(), ids=BROKEN)
def test_a_broken_use_case_is_refused_by_file_key_and_what_is_allowed(
    usecases: Path, change: Change, message: str
) -> None:
    changed(usecases, change)
    with pytest.raises(UseCaseError, match=message) as error:
        load_usecase("parcels")
    named = str(error.value).split(": ")[0]
    assert named == "parcels/usecase.yaml" or Path(named).is_file(), "the path can be opened as it stands"
    assert SECRET not in str(error.value)


TEXTS = {
    "no YAML": ("name: [", r"is not YAML in UTF-8: .* at line"),
    "a list": ("- name\n", r"expected a mapping of keys, got list"),
    "nothing": ("", r"expected a mapping of keys, got NoneType"),
    "a key given twice": ("name: parcels\nname: other\n", r"key 'name' is given twice at line 1"),
    "a key that is no text": ("1: parcels\n", r"expected keys that are text, got int"),
    "a tag that would build an object": ("name: !!python/object/apply:os.getcwd []\n", r"is not YAML"),
}


@pytest.mark.parametrize(("text", "message"), TEXTS.values(), ids=TEXTS)
def test_a_file_that_is_no_plain_mapping_is_refused(usecases: Path, text: str, message: str) -> None:
    (write_text_usecase(usecases) / "usecase.yaml").write_text(text)
    with pytest.raises(UseCaseError, match=message):
        load_usecase("parcels")


def test_a_file_that_is_not_utf8_is_refused(usecases: Path) -> None:
    (write_text_usecase(usecases) / "usecase.yaml").write_bytes(b"name: \xff\n")
    with pytest.raises(UseCaseError, match="is not YAML in UTF-8"):
        load_usecase("parcels")


@pytest.mark.parametrize("name", ["nowhere", "../parcels", ".", ""])
def test_a_use_case_that_is_not_there_is_refused_with_those_that_are(usecases: Path, name: str) -> None:
    write_text_usecase(usecases)
    with pytest.raises(UseCaseError, match="no such use case; known: parcels"):
        load_usecase(name)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"lost\nlate\nlost\n", "lists a value twice: lost"),
        (b"\xff\n", "expected UTF-8 text, one value a line"),
        (b"\n", "expected a file that lists the labels"),
    ],
)
def test_a_broken_list_of_labels_is_refused(usecases: Path, content: bytes, message: str) -> None:
    (write_text_usecase(usecases) / "labels.txt").write_bytes(content)
    with pytest.raises(UseCaseError, match=message):
        load_usecase("parcels")


def test_a_folder_without_an_access_policy_is_refused(usecases: Path) -> None:
    (write_text_usecase(usecases) / "policy.cedar").unlink()
    with pytest.raises(UseCaseError, match=r"access policy: there is no file 'policy.cedar'"):
        load_usecase("parcels")


def test_the_outside_label_is_allowed_as_an_answer_and_never_a_label_of_the_model(parcels: UseCase) -> None:
    assert parcels.labels == LABELS
    assert parcels.allowed("kind") == (*LABELS, OUTSIDE)


def test_the_version_changes_with_any_file_but_the_data(usecases: Path) -> None:
    root = write_text_usecase(usecases)
    before = load_usecase("parcels").version
    (root / "data" / "rows.csv").write_text("text,kind\n")
    assert load_usecase("parcels").version == before
    (root / "policy.cedar").write_text("forbid (principal, action, resource);\n")
    assert load_usecase("parcels").version != before


def test_a_use_case_cannot_be_changed_once_read(parcels: UseCase) -> None:
    with pytest.raises(ValueError, match="frozen"):
        parcels.label = "other"  # type: ignore[misc]  # what the test tries


def test_folders_without_a_usecase_yaml_are_not_listed(usecases: Path) -> None:
    write_text_usecase(usecases, "b")
    write_text_usecase(usecases, "a")
    (usecases / "notes").mkdir()
    assert list_usecases() == ["a", "b"]
