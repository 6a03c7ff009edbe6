"""The table of abuse in docs/guides/security.md is true: every test that it names is there."""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
ITEM = re.compile(r"`(?:([\w/]+\.py)(?:::)?)?((?:test_|…)[\w]+…?)?`")


def _named() -> list[tuple[str, str]]:
    """(file, part of a test's name) for each test that the guide names; '' names the file alone."""
    guide = (ROOT / "docs" / "guides" / "security.md").read_text(encoding="utf-8")
    table = guide.split("| abuse |")[1].split("\n\n")[0]
    named, file = [], ""
    for line in table.splitlines():
        shown_by = line.rstrip("| ").rsplit("|", 1)[-1]
        for found in ITEM.finditer(shown_by):
            file = found[1] or file
            named.append((file, (found[2] or "").strip("…")))
    return named


def test_every_test_that_the_guide_names_exists() -> None:
    """By file, and by the part of its name that is written there."""
    named = _named()
    assert len(named) > 35
    for file, part in named:
        places = [path for path in (ROOT / "tests").rglob(Path(file).name) if path.as_posix().endswith(file)]
        assert len(places) == 1, file
        tests = re.findall(r"def (test_\w+)", places[0].read_text(encoding="utf-8"))
        assert any(part in test for test in tests), f"{file}: {part}"
