"""`python -m registry.sync NAME…`: bring the placed copies up to what MLflow's aliases mean now.

A process of its own, because MLflow takes 6 s and 200 MB to import and never belongs in a serving
worker. Prints one JSON line a name: {name, alias, version, digest, status, error}; `status` is placed,
unchanged or failed; after a failure `version` and `digest` are those that still serve, if any.
Exit code 0 when every name is placed or unchanged, 1 otherwise.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from registry.errors import RegistryError
from registry.placing import PackageSource, place, placed_package, placed_ref
from registry.records import ModelRef
from registry.revocations import take_over
from registry.settings import RegistrySettings
from registry.versions import Exactly, version_alias

if TYPE_CHECKING:  # it imports MLflow
    from registry.store import Registry


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m registry.sync", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("names", nargs="+", metavar="NAME", help="a registered model's name")
    parser.add_argument("--alias", default="champion", help="which alias to place (default: champion)")
    parser.add_argument("--version", type=int, help="place exactly this version, for a rollout")
    asked = parser.parse_args(argv)
    from registry.store import Registry

    settings = RegistrySettings()
    source = Registry(settings)
    with suppress(RegistryError):  # the same failure comes with each name
        for sentence in take_over(settings, source.list_models()):
            sys.stderr.write(sentence + "\n")
    if asked.version is not None:
        done = [sync_version(name, asked.version, settings, source) for name in asked.names]
    else:
        done = [sync_one(name, asked.alias, settings, source) for name in asked.names]
    return 0 if all(done) else 1


def sync_one(name: str, alias: str, settings: RegistrySettings, source: PackageSource) -> bool:
    """Place one model and print its line. True when what MLflow's alias means is now placed."""
    before, intact = _placed(name, alias, settings)
    try:
        after: ModelRef | None = place(name, alias, settings, source)
        error = None
    except RegistryError as failed:
        after, error = before, str(failed)
    status = "failed" if error else "unchanged" if intact and after == before else "placed"
    line = {
        "name": name,
        "alias": alias,
        "version": after.version if after else None,
        "digest": after.digest if after else None,
        "status": status,
        "error": error,
    }
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()
    return error is None


def sync_version(name: str, version: int, settings: RegistrySettings, source: "Registry") -> bool:
    """As `sync_one`, for exactly one version."""
    listed = (found.ref for found in source.list_models())
    ref = next((ref for ref in listed if (ref.name, ref.version) == (name, version)), None)
    if ref is None:
        alias = version_alias(str(version))
        line = {"name": name, "alias": alias, "version": None, "digest": None, "status": "failed"}
        why = f"MLflow has no version {version} of '{name}'; see `switchyard registry list`"
        sys.stdout.write(json.dumps(line | {"error": why}) + "\n")
        return False
    return sync_one(name, version_alias(str(version)), settings, Exactly(ref, source))


def _placed(name: str, alias: str, settings: RegistrySettings) -> tuple[ModelRef | None, bool]:
    """What is placed before, and whether it is still what was signed."""
    ref = None
    try:
        ref = placed_ref(name, alias, settings)
        placed_package(ref, settings)
    except RegistryError:
        return ref, False
    return ref, True


if __name__ == "__main__":
    sys.exit(main())
