"""The console script `switchyard`: mounts each room's commands, and translates our errors once."""

import os
import sys
from importlib import import_module

import typer

ROOMS = (
    "flows.cli",
    "flows.bento_cli",
    "services.cli",
    "registry.cli",
    "flows.promotion_cli",  # needs the use case, and adds to the group of the one before
    "registry.rollout_cli",
    "services.rollout_cli",  # likewise
    "flows.rollout_cli",  # likewise
    "registry.switches_cli",
    "feature_checks.cli",
)
"""Each has `commands(root)`, in the order in which `--help` lists them."""

ANALYTICS_OFF = {
    "DO_NOT_TRACK": "true",
    "BENTOML_DO_NOT_TRACK": "True",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "GX_ANALYTICS_ENABLED": "false",
    "DVC_NO_ANALYTICS": "1",
}


def build() -> typer.Typer:
    """The whole command tree. Room modules import nothing heavy until a command runs."""
    root = typer.Typer(
        name="switchyard",
        help="Hybrid AI: rule, local model or cloud, whichever is cheapest and safe; every answer signed.",
        no_args_is_help=True,
        pretty_exceptions_show_locals=False,
        rich_markup_mode=None,
    )
    for room in ROOMS:
        import_module(room).commands(root)
    return root


def main() -> None:
    """Run one command; an error of ours ends it with one line on stderr and exit code 1."""
    for name, value in ANALYTICS_OFF.items():
        os.environ.setdefault(name, value)
    from feature_checks.errors import FeatureCheckError
    from flows.errors import FlowError
    from registry.errors import RegistryError
    from services.errors import ServiceError

    try:
        build()()
    except (FeatureCheckError, RegistryError, FlowError, ServiceError) as error:
        sys.stderr.write(f"switchyard: {error}\n")
        raise SystemExit(1) from None
