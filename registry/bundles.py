"""Models inside a bento: verified when it is built, and again, by the keys of its home, where it starts.

`bundle/` lies beside our packages in the bento: `bundle.json`, and `<name>/<version>-<digest12>/` as below
`models/`. Nothing in it is believed: `place_bundled` puts each model into the home by the same door as one
that MLflow holds, with the signed promotion that came along.
"""

import shutil
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from registry.errors import BundleInvalid, ModelNotFound, MoveOvertaken, PackageRefused, RegistryError
from registry.moves import check_move
from registry.packages import VerifiedPackage, read_regular
from registry.placing import CHAMPION, checked_package, note_refused, place
from registry.records import ModelRef, Name
from registry.settings import RegistrySettings
from registry.versions import place_version

INDEX = "bundle.json"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)


class Bundled(_Frozen):
    """One model of a bento; `move` is the signed line of the log of promotions that lets `alias` mean it."""

    name: Name
    version: int = Field(ge=1)
    digest: str = Field(pattern=r"^[0-9a-f]{64}$")
    alias: Name
    move: str = Field(min_length=1, max_length=50_000)

    @property
    def ref(self) -> ModelRef:
        return ModelRef(self.name, self.version, self.digest)


class Index(_Frozen):
    """`bundle.json`."""

    format_version: Literal[1]
    models: Annotated[tuple[Bundled, ...], Field(strict=False)]


class Bundle:
    """`placing.PackageSource` over a bento's models. Raises `BundleInvalid` for an index of another form."""

    def __init__(self, folder: Path, settings: RegistrySettings) -> None:
        self._folder = folder
        self._settings = settings
        self.models = _read(folder)

    def resolve(self, name: str, alias: str) -> ModelRef:
        """What `alias` means by the promotion that came along. Raises `ModelNotFound`, `MoveRefused`."""
        for held in self.models:
            if (held.name, held.alias) == (name, alias):
                check_move(held.move, held.ref, alias, self._settings)
                return held.ref
        raise ModelNotFound(f"this bento holds no '{name}@{alias}'")

    def download(self, ref: ModelRef, to: Path) -> Path:
        """A copy of its files, links as links: unverified, as from any source."""
        return Path(shutil.copytree(_package(self._folder, ref), to / "package", symlinks=True))


def add(
    folder: Path, package: VerifiedPackage, ref: ModelRef, alias: str, move: str, settings: RegistrySettings
) -> Bundled:
    """Copy a verified package into a bundle in the making, and verify that copy. Raises `PackageRefused`."""
    target = _package(folder, ref)
    if not target.exists():  # two aliases may mean one version
        shutil.copytree(package.root, target, symlinks=True)
    copied = checked_package(target, ref.name, settings, alias)
    if copied.digest != ref.digest:
        raise PackageRefused(f"'{ref.name}'", "digest of all files", ref.digest, copied.digest)
    return Bundled(name=ref.name, version=ref.version, digest=ref.digest, alias=alias, move=move)


def write_index(folder: Path, models: list[Bundled]) -> None:
    """Write `bundle.json`."""
    made = Index(format_version=1, models=tuple(models))
    (folder / INDEX).write_text(made.model_dump_json(indent=1) + "\n", encoding="utf-8")


def place_bundled(settings: RegistrySettings) -> list[str]:
    """Verify and place each model that this bento holds; what is refused is said, a line each, and what was
    placed before goes on serving. Nothing to do in a checkout.

    A home that has seen a newer promotion keeps what that says: a bento of last month takes nothing back.
    """
    if not settings.bundle.is_dir():
        return []
    try:
        bundle = Bundle(settings.bundle, settings)
    except BundleInvalid as error:
        return [str(error)]
    refused = []
    for held in bundle.models:
        try:
            _place(held, bundle, settings)
        except RegistryError as error:
            why = f"the copy in this bento is not used: {error}"
            note_refused(held.name, held.alias, settings, why)
            refused.append(f"'{held.name}@{held.alias}': {why}")
    return refused


def _place(held: Bundled, bundle: Bundle, settings: RegistrySettings) -> None:
    try:
        bundle.resolve(held.name, held.alias)
    except MoveOvertaken:
        return
    place(held.name, held.alias, settings, bundle)
    if held.alias != CHAMPION:  # where a rollout looks for it
        place_version(held.ref, settings, bundle)


def _package(folder: Path, ref: ModelRef) -> Path:
    return folder / ref.name / f"{ref.version}-{ref.digest[:12]}"


def _read(folder: Path) -> tuple[Bundled, ...]:
    where = f"{folder.name}/{INDEX}"
    try:
        return Index.model_validate_json(read_regular(folder / INDEX)).models
    except OSError as error:
        raise BundleInvalid(
            f"{where}: expected the index of this bento's models ({error.strerror})"
        ) from error
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"]) or "the document"
        raise BundleInvalid(f"{where}: {key}: {first['msg']}; build the bento again") from None
