"""Character n-grams counted as whole numbers."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from registry.runtimes.packed_runs import PackedRuns
from registry.runtimes.text_features import CHAR_SIZES, char_ngrams, padded_lower

ASCII = st.text(st.sampled_from("ab \0~Z9"), max_size=30)


@given(text=ASCII, others=st.lists(ASCII | st.text(max_size=8), max_size=5))
def test_what_is_counted_is_what_counting_strings_gives(text: str, others: list[str]) -> None:
    """For any ASCII text, NUL bytes included, and any vocabulary, with what does not fit left out."""
    columns = {ngram: n for n, ngram in enumerate({g for one in others for g in (one, *char_ngrams(one))})}
    expected = Counter(columns[gram] for gram in char_ngrams(text) if gram in columns)
    found, counts = PackedRuns(columns, CHAR_SIZES).count(padded_lower(text))
    assert dict(zip(found.tolist(), counts.tolist(), strict=True)) == dict(expected)
