"""Rows from traffic that are trained on beside the base data: a file of their own among those of `fetch`."""

import csv
from pathlib import Path
from typing import TYPE_CHECKING

from feature_checks.usecase import UseCase
from flows.errors import StepError
from flows.steps.fetch import hash_file
from flows.steps.files import read_json, write_json

if TYPE_CHECKING:
    import pandas as pd

FILE = "added/rows.csv"


def add_rows(build: Path, usecase: UseCase, rows: "pd.DataFrame") -> int:
    """Write raw/added/rows.csv and name it in fetch.json; returns the number of rows.

    `rows` have the input fields and the label; surer ones come first where there is a column `weak`, since
    the first of two equal rows is kept. Raises `StepError` where a column is missing.
    """
    columns = [*usecase.input, usecase.label]
    if missing := [name for name in columns if name not in rows.columns]:
        raise StepError(
            f"labelled rows: expected columns {', '.join(columns)}; missing: {', '.join(missing)}"
        )
    if "weak" in rows.columns:
        rows = rows.sort_values("weak", kind="stable")
    file = build / "raw" / FILE
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out, lineterminator="\n", quoting=csv.QUOTE_ALL)
        writer.writerow(columns)
        writer.writerows(rows[columns].itertuples(index=False))
    fetched = read_json(build / "raw" / "fetch.json", "fetch")
    fetched["files"] = [one for one in fetched["files"] if one["role"] != "added"]
    hashes = {name: hash_file(file, name) for name in ("sha256", "md5")}
    fetched["files"].append({"role": "added", "file": FILE, **hashes, "uri": None, "rows": len(rows)})
    write_json(build / "raw" / "fetch.json", fetched)
    return len(rows)
