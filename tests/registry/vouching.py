"""Aliases that are moved as promotions move them: with a signed line."""

from dataclasses import asdict

from registry.log import append_line
from registry.records import ModelRef
from registry.settings import RegistrySettings
from registry.store import Registry


def move(
    registry: Registry,
    settings: RegistrySettings,
    ref: ModelRef,
    alias: str = "champion",
    before: ModelRef | None = None,
) -> str:
    """Sign the move with the key of `settings`, and carry it out in MLflow; returns the line."""
    line = append_line(
        "promotion", {**asdict(ref), "alias": alias, "before": asdict(before) if before else None}, settings
    )
    registry.set_alias(ref.name, alias, ref.version, line)
    return line
