"""What consumers rely on now: the schema of the version that serves, from its signed evidence."""

import json
from contextlib import suppress

from feature_checks.usecase import UseCase
from registry.errors import ModelNotFound, PackageInvalid, PackageRefused, RegistryError, VersionRevoked
from registry.evidence import STATEMENT
from registry.model_schema import ModelSchema, parse_schema
from registry.packages import VerifiedPackage
from registry.placing import CHAMPION, PackageSource, place, placed_package, placed_ref
from registry.settings import RegistrySettings


def serving_schema(
    usecase: UseCase, settings: RegistrySettings, source: PackageSource | None = None
) -> ModelSchema | None:
    """The champion's schema; None when there is no champion that may be loaded.

    `source` is asked first, so that a machine that never served compares all the same.
    """
    if usecase.local is None:
        return None
    name = usecase.local.model
    if source is not None:
        with suppress(RegistryError):  # what is placed counts then
            place(name, CHAMPION, settings, source)
    try:
        package = placed_package(placed_ref(name, CHAMPION, settings), settings)
    except (ModelNotFound, PackageRefused, PackageInvalid, VersionRevoked):
        return None
    return schema_of(package)


def schema_of(package: VerifiedPackage) -> ModelSchema | None:
    """The schema that a package was signed with; None in one that is older than schemas are."""
    if STATEMENT not in package.files:
        return None
    said = json.loads(package.read(STATEMENT)).get("predicate", {}).get("switchyard_model", {})
    found = said.get("model_schema")
    return None if found is None else parse_schema(found, f"package '{package.manifest.name}'")
