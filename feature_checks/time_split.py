"""Splits a table of events by time: what is learned from, what is tested on, and what came around it."""

from datetime import date, timedelta
from typing import TYPE_CHECKING

from feature_checks.data_spec import TimeSplit

if TYPE_CHECKING:
    import pandas as pd


def split_by_time(
    times: "pd.Series[pd.Timestamp]", split: TimeSplit
) -> "tuple[pd.Series[bool], pd.Series[bool]]":
    """(train, test): masks over the rows. `times` are in UTC."""
    return (
        _within(times, split.train_from, split.train_to),
        _within(times, split.test_from, split.test_to),
    )


def known_positives(
    frame: "pd.DataFrame",
    time: str,
    key: str,
    positive: "pd.Series[bool]",
    split: TimeSplit,
    delay_days: float,
) -> "pd.Series[bool]":
    """Rows whose key had a positive label that was known when the row's day began.

    Known are the labels of the training days, and later ones once they are `delay_days` old: of the day d
    days into the test, those up to d - 1 days after the training's end where test starts a delay after it
    (Fraud Detection Handbook, section 5.2, get_train_test_set).
    """
    import pandas as pd

    days = frame[time].dt.floor("D")
    start = pd.Timestamp(split.known_from or split.train_from, tz="UTC")
    counted = positive & (days >= start)
    first = days[counted].groupby(frame[key][counted]).min()
    # A label of day f is known on day f + delay + 1: the whole of its day has to lie a delay back.
    known_from = frame[key].map(first) + pd.Timedelta(days=delay_days + 1)
    found: pd.Series[bool] = (days >= known_from).fillna(False)
    return found


def _within(times: "pd.Series[pd.Timestamp]", first: date, last: date) -> "pd.Series[bool]":
    import pandas as pd

    start, end = pd.Timestamp(first, tz="UTC"), pd.Timestamp(last + timedelta(days=1), tz="UTC")
    return (times >= start) & (times < end)
