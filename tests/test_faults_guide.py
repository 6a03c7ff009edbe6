"""The tables of faults in docs/guides/faults.md are true: every test that they name is there."""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
ITEM = re.compile(r"`(?:([\w/]+\.py)(?:::)?)?(test_\w+)?…?`")


def _named() -> list[tuple[str, str]]:
    """(file, how a test's name begins) for each test that the guide names; '' names the file alone."""
    named, file = [], ""
    for line in (ROOT / "docs" / "guides" / "faults.md").read_text(encoding="utf-8").splitlines():
        if line.startswith("| ") and line.endswith(" |"):
            for found in ITEM.finditer(line.rstrip("| ").rsplit("|", 1)[-1]):
                file = found[1] or file
                named.append((file, found[2] or ""))
    return named


def test_every_test_that_the_guide_names_exists() -> None:
    named = _named()
    assert len(named) > 35
    for file, begins in named:
        text = (ROOT / "tests" / file).read_text(encoding="utf-8")
        assert re.search(rf"def (test_)?{begins}", text), f"{file}: {begins}"
