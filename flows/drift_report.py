"""Evidently's report on a window, as one HTML file: figures to look at. The verdict is ours, not its."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from feature_checks.drift import Categories, Feature, Numbers
from flows.judging import Findings

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)


def write_report(findings: Findings, file: Path) -> Path | None:
    """Numbers and categories of reference and window, no texts. None where there are none, or it fails."""
    names = [
        name
        for name, one in findings.features.items()
        if isinstance(one, Numbers | Categories) and name in findings.reference
    ]
    if not names:
        return None
    try:
        from evidently import Report  # type: ignore[import-untyped]  # it ships no types
        from evidently.presets import DataDriftPreset  # type: ignore[import-untyped]  # same

        now, before = (_frame(side, names) for side in (findings.features, findings.reference))
        made = Report([DataDriftPreset()]).run(now, before)
        file.parent.mkdir(parents=True, exist_ok=True)
        made.save_html(str(file))
    except Exception:  # noqa: BLE001  — a picture that cannot be drawn must not hide an alarm
        log.warning("Evidently's report could not be made; the verdict stands without it")
        return None
    return file


def _frame(side: Mapping[str, Feature], names: list[str]) -> "pd.DataFrame":
    import pandas as pd

    columns = {name: one.values for name in names if isinstance(one := side[name], Numbers | Categories)}
    rows = min(len(values) for values in columns.values())
    # Evenly spaced, since what is kept of a reference is in the order of its values.
    return pd.DataFrame(
        {name: [values[at * len(values) // rows] for at in range(rows)] for name, values in columns.items()}
    )
