"""The alert rules that ship name metrics that exist, and say what to do."""

import re

import pytest
import yaml

from services.telemetry import Telemetry
from tests.fakes import REPOSITORY

RULES = yaml.safe_load((REPOSITORY / "deploy/prometheus/switchyard.rules.yaml").read_text())
ALERTS = {rule["alert"]: rule for group in RULES["groups"] for rule in group["rules"]}


def known() -> set[str]:
    page = Telemetry().page().decode()
    names = set(re.findall(r"^# TYPE (\w+)", page, re.MULTILINE))
    return names | {f"{name}_total" for name in names}


@pytest.mark.parametrize("alert", ALERTS.values(), ids=ALERTS)
def test_an_alert_asks_for_metrics_that_exist_and_says_what_to_do(alert: dict[str, object]) -> None:
    asked = set(re.findall(r"switchyard_\w+", str(alert["expr"])))
    assert asked
    assert asked <= known()
    notes = alert["annotations"]
    assert isinstance(notes, dict)
    assert notes["summary"]
    assert notes["action"]
    assert alert["labels"]["severity"] in ("warning", "critical")  # type: ignore[index]  # parsed YAML


def test_unpriced_usage_raises_an_alert() -> None:
    """Money that nobody counts is the first thing that must not stay unseen."""
    assert "switchyard_unpriced_attempts_total" in ALERTS["SwitchyardUnpricedUsage"]["expr"]
