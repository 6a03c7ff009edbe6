"""`switchyard bento build`: code, use cases and verified models in one bento, with a bill of materials."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer


def commands(root: typer.Typer) -> None:
    """Add this group to the command tree."""
    group = typer.Typer(help="A bento that holds verified models.", no_args_is_help=True)
    group.callback()(lambda: None)  # so that `build` stays a word of its own
    group.command("build")(build)
    root.add_typer(group, name="bento")


def build(
    usecase: Annotated[
        list[str] | None, typer.Option(help="Whose models; may stand several times. Default: all with one.")
    ] = None,
    alias: Annotated[
        list[str] | None,
        typer.Option(
            metavar="champion|canary|shadow",
            help="Which version; may stand several times. Default: champion.",
        ),
    ] = None,
    sbom: Annotated[
        Path, typer.Option(help="Where the bill of materials (CycloneDX) is written; the bento has it too.")
    ] = Path("sbom.cdx.json"),
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")] = False,
) -> None:
    """Build a bento with the promoted, verified versions of these use cases inside. Run it where
    bentofile.yaml lies; the bento verifies them again where it starts.

    \b
    Example: switchyard bento build --usecase support --alias champion
    """
    from feature_checks.usecase import list_usecases, load_usecase
    from flows.bento import build_bento
    from registry.settings import RegistrySettings
    from registry.store import Registry

    settings = RegistrySettings()
    usecases = [load_usecase(name) for name in dict.fromkeys(usecase or list_usecases())]
    aliases = list(dict.fromkeys(alias or ["champion"]))
    if unknown := sorted(set(aliases) - {"champion", "canary", "shadow"}):
        raise typer.BadParameter(
            f"expected champion, canary or shadow, got '{unknown[0]}'", param_hint="--alias"
        )
    built = build_bento(usecases, aliases, Path.cwd(), sbom, settings, Registry(settings))
    if as_json:
        models = [asdict(one.ref) | {"alias": one.alias} for one in built.models]
        typer.echo(json.dumps({"tag": built.tag, "models": models, "sbom": str(sbom)}, indent=2))
        return
    typer.echo(f"{built.tag}: `bentoml serve {built.tag}`")
    for one in built.models:
        typer.echo(f"  {one.name}@{one.alias}: version {one.version}, digest {one.digest[:12]}, verified")
    typer.echo(f"{sbom}: {built.components} components")
