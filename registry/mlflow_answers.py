"""What MLflow answers, as values of ours: strictly, since anyone who reaches it may have written it."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from registry.errors import ModelNotFound, PackageRefused
from registry.records import ModelRef, RegisteredVersion


def artifact_path(digest: str) -> str:
    return f"package-{digest[:12]}"


def aliases_of(model: Any) -> dict[str, int]:
    return {str(alias): int(version) for alias, version in dict(model.aliases).items()}


def ref_of(found: Any, name: str, version: int) -> ModelRef:
    if (found.name, int(found.version)) != (name, version):
        asked, got = f"version {version} of '{name}'", f"version {found.version} of '{found.name}'"
        raise PackageRefused(f"'{name}' version {version}", "MLflow's answer", asked, got)
    digest = str(found.tags.get("digest", ""))
    if not re.fullmatch("[0-9a-f]{64}", digest):
        raise ModelNotFound(
            f"'{name}' version {version}: expected one that `switchyard train` registered, got no digest"
        )
    return ModelRef(name, version, digest)


def listed(version: Any, aliases: Mapping[str, int], model_tags: Mapping[str, str]) -> RegisteredVersion:
    tags = dict(version.tags)
    number = int(version.version)
    return RegisteredVersion(
        ref=ModelRef(str(version.name), number, tags.get("digest", "")),
        aliases=tuple(sorted(alias for alias, target in aliases.items() if target == number)),
        key_id=tags.get("signer_key_id", ""),
        use_case=tags.get("use_case", "") or model_tags.get("use_case", ""),
        kind=tags.get("kind", ""),
        registered_at=datetime.fromtimestamp(version.creation_timestamp / 1000, UTC).isoformat(
            timespec="seconds"
        ),
        run_id=version.run_id,
        tags=tags,
    )


def nothing_yet(name: str) -> str:
    return f"there is no model '{name}': nothing is registered yet; run `switchyard train <usecase>`"
