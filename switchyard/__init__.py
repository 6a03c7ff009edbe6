"""Switchyard's console script; the rooms are feature_checks, registry, flows and services."""

__version__ = "0.1.0"
