"""How BentoML runs our services. Kept apart, so that both say the same and a test can read it."""

from typing import Any

from services.settings import load_settings

BACKSTOP_MARGIN_S = 5.0
"""BentoML's own time limit, a loose backstop behind ours. It cannot be switched off, and its timers stay
in memory until they end, so it is no longer than it must be."""


def orchestrator_config() -> dict[str, Any]:
    """Workers and address from the settings. Tracing and metrics of our paths are ours (telemetry.py):
    BentoML's put the raw path into labels, and cost 0.7 ms a request."""
    settings = load_settings()
    return {
        "workers": settings.workers,
        "traffic": {"timeout": settings.request_timeout_s + BACKSTOP_MARGIN_S},
        "http": {"host": settings.host},
        "logging": {"access": {"enabled": False}},
        "metrics": {"enabled": False},
        "tracing": {"excluded_urls": [".*"]},
    }


def local_models_config() -> dict[str, Any]:
    """The local model service: reached by orchestrators only."""
    settings = load_settings()
    return {
        "workers": 1,
        "traffic": {"timeout": settings.request_timeout_s + BACKSTOP_MARGIN_S},
        "http": {"host": settings.host},
        "logging": {"access": {"enabled": False}},
        "tracing": {"excluded_urls": [".*"]},
    }
