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

from registry.errors import RegistryError
from registry.placing import PackageSource, place, placed_package, placed_ref
from registry.records import ModelRef
from registry.settings import RegistrySettings


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m registry.sync", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("names", nargs="+", metavar="NAME", help="a registered model's name")
    parser.add_argument("--alias", default="champion", help="which alias to place (default: champion)")
    asked = parser.parse_args(argv)
    from registry.store import Registry

    settings = RegistrySettings()
    source = Registry(settings)
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
