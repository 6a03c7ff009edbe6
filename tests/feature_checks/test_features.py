"""Features are the same worked out in a table and one by one, and never know what is not known yet."""

import numpy as np
import pandas as pd
import pytest

from feature_checks.feature_engine import FeatureEngine
from feature_checks.feature_spec import FeatureSpec
from feature_checks.feature_table import feature_table
from feature_checks.key_history import KeyHistory, load_history

DAY = pd.Timedelta(days=1)
SPEC = FeatureSpec(
    time="at",
    id="number",
    positive="bad",
    delay_days=7,
    columns={
        "spent": {"kind": "value", "of": "amount"},
        "weekend": {"kind": "weekend"},
        "night": {"kind": "night", "hours": 6},
        "count": {"kind": "count", "key": "who", "days": 7},
        "mean": {"kind": "mean", "key": "who", "of": "amount", "days": 30},
        "share": {"kind": "ratio", "of": "spent", "to": "mean"},
        "gap": {"kind": "gap", "key": "who"},
        "risk": {"kind": "risk", "key": "where", "days": 7},
        "bad": {"kind": "positives", "key": "where", "days": 14},
        "before": {"kind": "count", "key": "where", "days": 7, "delayed": True},
    },
)


def events(number: int = 1500, days: int = 60) -> pd.DataFrame:
    draw = np.random.default_rng(3)
    at = pd.Timestamp("2026-01-01", tz="UTC") + pd.to_timedelta(np.sort(draw.uniform(0, days, number)), "D")
    return pd.DataFrame(
        {
            "number": np.arange(number),
            "at": at.astype("datetime64[us, UTC]"),
            "who": draw.integers(0, 12, number),
            "where": draw.integers(0, 15, number),
            "amount": draw.lognormal(3, 1, number),
            "label": np.where(draw.random(number) < 0.1, "bad", "good"),
        }
    )


def one_by_one(frame: pd.DataFrame, order: list[int]) -> pd.DataFrame:
    """As serving does it: histories go through their stored form between any two events."""
    engine = FeatureEngine(SPEC)
    stored: dict[tuple[str, str], bytes] = {}
    found = {}
    for place in order:
        fields = {**frame.iloc[place].to_dict(), "at": frame["at"].iloc[place].isoformat()}
        event = engine.event(fields)
        names = list(zip(engine.keys, event.keys, strict=True))
        held = {
            key: load_history(stored[key, value], len(engine.values[key]))
            if (key, value) in stored
            else engine.empty(key)
            for key, value in names
        }
        found[place] = engine.observe(event, held)
        for key, value in names:
            if fields["label"] == "bad":
                held[key].label(event.at)
            held[key].forget(event.at - engine.horizon_s - 10 * 86_400)
            stored[key, value] = held[key].dump()
    return pd.DataFrame.from_dict(found, orient="index", columns=list(engine.names)).sort_index()


def test_a_replay_gives_the_features_of_the_table_to_1e_9() -> None:
    frame = events()
    table = feature_table(frame, FeatureEngine(SPEC), "label")
    replayed = one_by_one(frame, list(range(len(frame))))
    assert np.abs(table.to_numpy() - replayed.to_numpy()).max() <= 1e-9


def test_a_table_does_not_depend_on_the_order_of_its_rows() -> None:
    frame = events(400)
    table = feature_table(frame, FeatureEngine(SPEC), "label")
    shuffled = feature_table(frame.sample(frac=1, random_state=1), FeatureEngine(SPEC), "label")
    pd.testing.assert_frame_equal(table, shuffled.sort_index())


def test_events_that_nobody_asks_about_are_remembered_all_the_same() -> None:
    frame, engine = events(600), FeatureEngine(SPEC)
    wanted = np.arange(600) % 3 == 0
    wanted[500:] = False
    some = feature_table(frame, engine, "label", wanted)
    pd.testing.assert_frame_equal(some, feature_table(frame, engine, "label")[wanted])


def test_labels_younger_than_the_delay_and_events_to_come_change_nothing() -> None:
    frame, engine = events(), FeatureEngine(SPEC)
    until = frame["at"].iloc[900]
    table = feature_table(frame, engine, "label")
    changed = frame.copy()
    young = changed["at"] > until - 7 * DAY
    changed.loc[young, "label"] = np.where(changed.loc[young, "label"] == "bad", "good", "bad")
    changed.loc[changed["at"] > until, "amount"] = 1e6
    then = feature_table(changed, engine, "label")
    seen = frame["at"] <= until
    pd.testing.assert_frame_equal(table[seen], then[seen])
    assert not table[~seen].equals(then[~seen])


def test_an_old_label_does_change_what_comes_later() -> None:
    frame, engine = events(), FeatureEngine(SPEC)
    changed = frame.copy()
    changed.loc[:200, "label"] = "bad"
    later = frame["at"] > frame["at"].iloc[200] + 7 * DAY
    before, after = (feature_table(one, engine, "label")["risk"] for one in (frame, changed))
    assert (before[later] != after[later]).any()


def test_a_late_event_sees_what_it_would_have_seen() -> None:
    frame = events(300, days=10).assign(label="good")
    order = [*range(120), *range(121, 300), 120]
    table = feature_table(frame, FeatureEngine(SPEC), "label")
    late = one_by_one(frame, order)
    assert np.abs(table.iloc[120].to_numpy() - late.iloc[120].to_numpy()).max() <= 1e-9


def test_the_same_event_counts_once() -> None:
    engine = FeatureEngine(SPEC)
    event = engine.event({"number": 1, "at": "2026-01-01T12:00:00Z", "who": 1, "where": 2, "amount": 5.0})
    held = {key: engine.empty(key) for key in engine.keys}
    first = engine.observe(event, held)
    assert engine.observe(event, held)[engine.names.index("count")] == first[engine.names.index("count")] == 1


def test_ten_thousand_customers_take_less_than_50_mib() -> None:
    one = KeyHistory(1)
    for number in range(30 * 4):  # four payments on each of 30 days: twice what the handbook's make
        one.add(number * 21_600.0, number, (1.0,))
    assert 10_000 * len(one.dump()) < 50 << 20


@pytest.mark.parametrize("damage", [b"", b"\x01", b"\x02" * 40])
def test_a_damaged_history_is_refused(damage: bytes) -> None:
    with pytest.raises(ValueError, match="expected a key history"):
        load_history(damage, 1)
