"""`switchyard registry sbom`: what serves, as a file for whoever must know it."""

import json
from pathlib import Path
from typing import Annotated

import typer


def sbom(
    name: Annotated[str, typer.Argument(help="A registered model's name.")],
    alias: Annotated[str, typer.Option(help="Which placed version.")] = "champion",
    lock: Annotated[Path, typer.Option(help="The lock of the environment that serves it.")] = Path(
        "requirements.lock"
    ),
    output: Annotated[Path, typer.Option(help="Where to write it.")] = Path("sbom.cdx.json"),
) -> None:
    """Write a CycloneDX bill of materials: the locked packages, and a placed model after verifying it.

    \b
    Example: switchyard registry sbom parcels-kind --output build/sbom.cdx.json
    """
    from registry.placing import placed_package, placed_ref
    from registry.sbom import bill_of_materials
    from registry.settings import RegistrySettings

    settings = RegistrySettings()
    ref = placed_ref(name, alias, settings)
    made = bill_of_materials(lock, [(ref, placed_package(ref, settings, alias))])
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")
    typer.echo(f"{output}: {len(made['components'])} components, '{name}' version {ref.version} verified")
