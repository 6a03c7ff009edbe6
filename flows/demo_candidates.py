"""What the chapter `rollouts` of the demo rolls out: copies of the use case with other approved texts."""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import yaml

from feature_checks.usecase import UseCase

CLOSING = "Write to us again if this does not help."
EVERY = 10
"""Of every ten labels, two have their texts exchanged."""


def own_home(home: Path, scratch: Path) -> Path:
    """A state folder with the models and keys of another, and nothing else of it: what is tried there leaves
    nothing behind."""
    own = scratch / "home"
    own.mkdir(mode=0o700)
    for part in ("models", "keys"):
        shutil.copytree(home / part, own / part)
    return own


def exchanged(usecase: UseCase, to: Path) -> tuple[Path, int]:
    """Such a copy, and how many labels have another's text in it."""
    labels = usecase.labels
    swaps: dict[str, str] = {}
    for first, second in zip(labels[::EVERY], labels[1::EVERY], strict=False):
        swaps |= {first: second, second: first}

    def change(texts: Mapping[str, str]) -> dict[str, str]:
        return {label: texts.get(swaps.get(label, label), text) for label, text in texts.items()}

    return _changed(usecase, to, change), len(swaps)


def polite(usecase: UseCase, to: Path) -> Path:
    """A copy in which each approved text ends with a sentence more."""
    return _changed(usecase, to, lambda texts: {k: f"{text.rstrip()} {CLOSING}" for k, text in texts.items()})


def approved(usecase: UseCase) -> dict[str, dict[str, str]]:
    """Output field -> label -> its approved text, as the use case's own folder has it."""
    named = {name: spec.template for name, spec in usecase.output.items() if spec.template}
    return {name: yaml.safe_load(usecase.path(file).read_text("utf-8")) for name, file in named.items()}


def _changed(usecase: UseCase, to: Path, change: Callable[[Mapping[str, str]], dict[str, str]]) -> Path:
    shutil.copytree(usecase.root, to, ignore=shutil.ignore_patterns("data", ".*", "__pycache__"))
    for spec in usecase.output.values():
        if spec.template:
            file = to / spec.template
            texts = yaml.safe_load(file.read_text(encoding="utf-8"))
            file.write_text(yaml.safe_dump(change(texts), allow_unicode=True, sort_keys=False), "utf-8")
    return to
