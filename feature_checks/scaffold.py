"""Makes a new use case by copying a folder: the way in which a team starts its own."""

import re
import shutil
import tempfile
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from feature_checks.errors import UseCaseError
from feature_checks.usecase import Name, UseCase, load_usecase, usecases_dir


def new_usecase(name: str, source: str, folder: Path | None = None) -> UseCase:
    """Copy use case `source` to `name`, rename it and its model inside, check it, put it in place.

    Nothing is left behind when it fails. Raises `UseCaseError`; an existing folder is never touched.
    """
    base = folder or usecases_dir()
    try:
        TypeAdapter(Name).validate_python(name)
    except ValidationError:
        raise UseCaseError(
            "a use case's name starts with a lower-case letter, then up to 63 of a-z, 0-9, '-' and '_'"
        ) from None
    original = load_usecase(source, base)
    target = base / name
    if target.exists() or target.is_symlink():
        raise UseCaseError(f"{base.name}/{name} is there already; nothing was changed")
    with tempfile.TemporaryDirectory(dir=base, prefix=".new-") as scratch:
        draft = Path(scratch) / name
        shutil.copytree(original.root, draft, ignore=shutil.ignore_patterns(".*", "__pycache__"))
        _rename(draft / "usecase.yaml", original, name)
        made = load_usecase(name, Path(scratch))
        if original.local and (made.local is None or made.local.model == original.local.model):
            raise UseCaseError(
                f"{base.name}/{source}/usecase.yaml: `local.model` is not on one line of its own"
            )
        draft.rename(target)
    return load_usecase(name, base)


def _rename(file: Path, original: UseCase, name: str) -> None:
    text = file.read_text(encoding="utf-8")
    text = re.sub(rf"(?m)^(name:\s*)['\"]?{re.escape(original.name)}['\"]?", rf"\g<1>{name}", text, count=1)
    if original.local:
        model = original.local.model
        # Two use cases must not register versions under one name.
        own = f"{name}-{model.removeprefix(original.name).strip('-_') or 'model'}"[:64]
        text = re.sub(rf"(?m)\b(model:\s*)['\"]?{re.escape(model)}['\"]?", rf"\g<1>{own}", text, count=1)
    file.write_text(text, encoding="utf-8")
