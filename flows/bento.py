"""Builds a bento that holds verified models: taken by alias, with the promotions that vouch for them.

The bento is built from a copy of what bentofile.yaml includes, beside a `bundle/` with the models and the
bill of materials. Where it starts, `registry.bundles` verifies all of it again by the keys of that home.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from feature_checks.usecase import UseCase
from flows.errors import StepError
from registry.bundles import Bundled, add, write_index
from registry.errors import PromotionRefused
from registry.moves import tag_of
from registry.packages import VerifiedPackage
from registry.placing import bring
from registry.records import ModelRef
from registry.sbom import bill_of_materials
from registry.settings import RegistrySettings
from registry.store import Registry

BENTOFILE, BUNDLE, SBOM = "bentofile.yaml", "bundle", "sbom.cdx.json"
BUILD_TIMEOUT_S = 600.0


@dataclass(frozen=True, slots=True)
class BuiltBento:
    """The bento's tag in BentoML's store, and the models inside."""

    tag: str
    models: tuple[Bundled, ...]
    components: int


def build_bento(
    usecases: Sequence[UseCase],
    aliases: Sequence[str],
    context: Path,
    sbom: Path,
    settings: RegistrySettings,
    registry: Registry,
) -> BuiltBento:
    """Build from `context`, the folder of bentofile.yaml, and write the bill of materials to `sbom` too.

    Raises `StepError` for a context or a build that fails, and what resolving, placing and verifying raise.
    """
    names = sorted({usecase.local.model for usecase in usecases if usecase.local is not None})
    if not names:
        raise StepError("none of these use cases has a local model to put into a bento; name another")
    with tempfile.TemporaryDirectory(prefix="switchyard-bento-") as scratch:
        staged = stage(context, Path(scratch) / "context")
        bundle = staged / BUNDLE
        bundle.mkdir()
        taken = [take(name, alias, bundle, settings, registry) for name in names for alias in aliases]
        held = [one for one, _ in taken]
        write_index(bundle, held)
        made = bill_of_materials(staged / "requirements.lock", [(one.ref, package) for one, package in taken])
        text = json.dumps(made, indent=1) + "\n"
        (bundle / SBOM).write_text(text, encoding="utf-8")
        tag = _bentoml_build(staged, held)
    sbom.parent.mkdir(parents=True, exist_ok=True)
    sbom.write_text(text, encoding="utf-8")
    return BuiltBento(tag, tuple(held), len(made["components"]))


def take(
    name: str, alias: str, bundle: Path, settings: RegistrySettings, registry: Registry
) -> tuple[Bundled, VerifiedPackage]:
    """The version that `alias` means by a signed promotion: verified, copied, and verified as copied."""
    ref = registry.resolve(name, alias)
    package = bring(ref, settings, registry, alias)
    return add(bundle, package, ref, alias, _move(ref, alias, registry), settings), package


def stage(context: Path, to: Path) -> Path:
    """Copy what bentofile.yaml includes, and let the copy's include the bundle."""
    described = _bentofile(context)
    for pattern in described.get("include", []):
        name = str(pattern).removesuffix("/**")
        source = context / name
        if source.is_dir():
            shutil.copytree(source, to / name, ignore=shutil.ignore_patterns("__pycache__"), symlinks=True)
        elif source.is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, to / name)
        else:
            raise StepError(f"{BENTOFILE}: include: expected files or folder/**, got '{pattern}'; correct it")
    described["include"] = [*described["include"], f"{BUNDLE}/**"]
    (to / BENTOFILE).write_text(yaml.safe_dump(described), encoding="utf-8")
    return to


def _bentofile(context: Path) -> dict[str, Any]:
    try:
        found = yaml.safe_load((context / BENTOFILE).read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise StepError(
            f"expected a readable {BENTOFILE} here, got {type(error).__name__}; run this where it lies"
        ) from error
    if not isinstance(found, dict) or not found.get("include"):
        raise StepError(f"{BENTOFILE}: expected a list `include`, got none")
    return found


def _move(ref: ModelRef, alias: str, registry: Registry) -> str:
    tags = next((v.tags for v in registry.list_models() if v.ref == ref), {})
    if line := tags.get(tag_of(alias)):
        return line
    raise PromotionRefused(
        f"'{ref.name}@{alias}' (version {ref.version}): MLflow holds no signed promotion beside it, so a "
        "bento could not prove it; run `switchyard registry promote`"
    )


def _bentoml_build(context: Path, models: Sequence[Bundled]) -> str:
    words = [sys.executable, "-m", "bentoml", "build", ".", "--output", "tag"]
    for one in models:
        words += ["--label", f"{one.name}.{one.alias}={one.version}-{one.digest[:12]}"]
    try:
        done = subprocess.run(
            words,
            cwd=context,
            env={**os.environ, "BENTOML_DO_NOT_TRACK": "True"},
            capture_output=True,
            text=True,
            timeout=BUILD_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise StepError(f"`bentoml build` did not end within {BUILD_TIMEOUT_S:g} s") from error
    tag = next((ln for ln in reversed(done.stdout.splitlines()) if ln.startswith("__tag__:")), "")
    if done.returncode or not tag:
        why = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise StepError(f"`bentoml build` failed: {why[:500]}")
    return tag.removeprefix("__tag__:")
