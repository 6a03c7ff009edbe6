"""The module map in docs/architecture.md is true."""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
ROOMS = ("feature_checks", "registry", "flows", "services")
TRIVIAL_LINES = 8


def _modules(room: str) -> set[str]:
    folder = ROOT / room
    return {
        path.relative_to(folder).as_posix().removesuffix("/__init__.py")
        for path in folder.rglob("*.py")
        if path.name != "__init__.py" or len(path.read_text(encoding="utf-8").splitlines()) >= TRIVIAL_LINES
    }


def _mapped(room: str) -> set[str]:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    section = text.split(f"### {room}:")[1].split("\n### ")[0]
    return set(re.findall(r"^\| `([^`]+)` \|", section, re.MULTILINE))


def test_the_module_map_names_every_module_and_none_that_is_gone() -> None:
    for room in ROOMS:
        assert _mapped(room) == _modules(room), room


def test_no_module_passes_300_lines() -> None:
    long = {
        p.name for room in ROOMS for p in (ROOT / room).rglob("*.py") if len(p.read_text().splitlines()) > 300
    }
    assert not long


def test_no_engine_module_names_a_use_case() -> None:
    names = {file.parent.name for file in ROOT.glob("usecases/*/usecase.yaml")}
    assert len(names) >= 2
    naming = re.compile(rf"[\"'/]({'|'.join(names)})[\"'/-]")
    naming_one = {
        path.relative_to(ROOT).as_posix()
        for room in ROOMS
        for path in (ROOT / room).rglob("*.py")
        if naming.search(path.read_text(encoding="utf-8"))
    }
    assert not naming_one
