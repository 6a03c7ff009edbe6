"""The split of a sample stays put, keeps copies together, and keeps every label's share."""

import random

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feature_checks.splits import drop_repeats, loose_key, row_keys, split_sample

rows_of_text = st.lists(
    st.tuples(st.text("abcde ", min_size=1, max_size=4), st.sampled_from("xyz")), min_size=1, max_size=40
)


def frame(rows: list[tuple[str, str]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["text", "label"], dtype=object)


def split(rows: list[tuple[str, str]], seed: int = 7) -> tuple[set[tuple[str, str]], set[tuple[str, str]]]:
    train, test, _ = split_sample(frame(rows), ["text"], "label", seed=seed)
    return ({tuple(r) for r in train.to_numpy()}, {tuple(r) for r in test.to_numpy()})


@given(rows_of_text, st.randoms(use_true_random=False))
def test_the_order_of_the_rows_does_not_matter(rows: list[tuple[str, str]], shuffler: random.Random) -> None:
    before = split(rows)
    shuffler.shuffle(rows)
    assert split(rows) == before


@given(rows_of_text, st.text("abcde ", min_size=1, max_size=4))
def test_an_added_row_moves_at_most_one_other_text_and_only_of_its_label(
    rows: list[tuple[str, str]], added: str
) -> None:
    before, after = split(rows), split([*rows, (added, "x")])
    moved = (before[0] & after[1]) | (before[1] & after[0])
    assert {label for _, label in moved} <= {"x"}
    assert len({loose_key(text) for text, _ in moved}) <= 1


@given(rows_of_text)
def test_copies_of_a_text_are_never_parted(rows: list[tuple[str, str]]) -> None:
    copies = [(f"  {text.upper()} ", label) for text, label in rows]
    train, test = split(rows + copies)
    assert not {(loose_key(t), x) for t, x in train} & {(loose_key(t), x) for t, x in test}


def test_a_fifth_of_each_label_goes_to_test_and_outside_rows_to_neither() -> None:
    rows = [(f"text {i}", label) for label in ("a", "b", "out") for i in range(50)]
    train, test, outside = split_sample(frame(rows), ["text"], "label", "out")
    assert test["label"].value_counts().to_dict() == {"a": 10, "b": 10}
    assert train["label"].value_counts().to_dict() == {"a": 40, "b": 40}
    assert outside["label"].tolist() == ["out"] * 50


def test_another_seed_splits_otherwise() -> None:
    rows = [(f"text {i}", "a") for i in range(50)]
    assert split(rows, seed=7) != split(rows, seed=8)


def test_rows_without_a_label_column_are_all_train_so_that_the_gate_can_name_it() -> None:
    train, test, outside = split_sample(pd.DataFrame({"text": ["a", "b"]}), ["text"], "label")
    assert (len(train), len(test), len(outside)) == (2, 0, 0)


def test_training_rows_that_repeat_a_test_row_or_each_other_are_dropped_and_listed() -> None:
    train = frame([("Lost  card", "a"), ("other", "a"), ("OTHER ", "a"), ("third", "a")])
    kept, repeats = drop_repeats(train, frame([("lost card", "a")]), ["text"])
    assert kept["text"].tolist() == ["other", "third"]
    assert (repeats.leaked, repeats.repeated) == ((0,), (2,))


def test_equal_rows_of_numbers_are_two_events_and_both_stay() -> None:
    rows = pd.DataFrame({"amount": [1, 1], "label": ["a", "a"]})
    kept, _ = drop_repeats(rows, rows, [])
    assert len(kept) == 2


@pytest.mark.parametrize(
    ("one", "other"), [("caf\u00e9", "cafe\u0301"), ("\uff21", "a"), ("a\u00a0 b", "A b")]
)
def test_the_same_text_has_one_key_however_it_is_encoded(one: str, other: str) -> None:
    keys = row_keys(frame([(one, "x"), (other, "x")]), ["text"])
    assert keys.nunique() == 1


@given(st.lists(st.tuples(st.integers(0, 2), st.sampled_from("xy")), min_size=1, max_size=60))
def test_equal_rows_of_numbers_are_split_by_share_like_any_others(rows: list[tuple[int, str]]) -> None:
    numbers = pd.DataFrame(rows, columns=["amount", "label"], dtype=object)
    _, test, _ = split_sample(numbers, [], "label")
    for label, count in numbers["label"].value_counts().items():
        assert (test["label"] == label).sum() == round(0.2 * count)


def test_rows_with_the_same_text_stay_together_whatever_else_they_hold() -> None:
    rows = pd.DataFrame([(f"text {i // 2}", i, "a") for i in range(60)], columns=["text", "amount", "label"])
    train, test, _ = split_sample(rows, ["text"], "label")
    assert not set(train["text"]) & set(test["text"])
