"""Parameters under which a model of the shipped kinds trains in seconds: for tests of what is around it."""

from pathlib import Path

import yaml

LIGHTER = {"epochs": 3, "topics": 30, "hidden": 32}


def write_light_params(source: Path, to: Path) -> None:
    """A copy of params.yaml in which whatever is known to take long is small."""
    params = yaml.safe_load(source.read_text())
    for kind in params["kinds"].values():
        kind.update({name: value for name, value in LIGHTER.items() if name in kind})
    to.write_text(yaml.safe_dump(params))
