"""Turns a feature contract into a Great Expectations suite for one split of the data.

Every expectation carries in its `meta` what it means and its bound, in words for people. The suite
looks at the frames that `derived.py` makes.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from feature_checks.contracts import FeatureContract, FieldContract

if TYPE_CHECKING:
    from great_expectations import ExpectationSuite
    from great_expectations.expectations import Expectation


def structure_suite(contract: FeatureContract) -> "ExpectationSuite":
    """The columns are those of the contract, and no other. Runs on the raw frame."""
    return _suite("structure", _structure(contract))


def content_suite(contract: FeatureContract, split: str, columns: Sequence[str]) -> "ExpectationSuite":
    """What every row of `split` must satisfy, as far as `columns` (raw and derived) are there."""
    found = set(columns)
    expectations = [
        *_table(split),
        *(e for field in contract.fields if field.name in found for e in _field(field)),
        *(_label(contract, split) if contract.label in found else ()),
        *(e for name, e in _rows(contract) if name in found),
    ]
    return _suite(split, expectations)


def _suite(name: str, expectations: "Iterator[Expectation] | list[Expectation]") -> "ExpectationSuite":
    from great_expectations import ExpectationSuite

    return ExpectationSuite(name=name, expectations=list(expectations))


def _structure(contract: FeatureContract) -> "Iterator[Expectation]":
    import great_expectations.expectations as gxe

    wanted = list(contract.columns)
    meta = _meta("columns are those of the contract", f"exactly {', '.join(wanted)}")
    yield gxe.ExpectTableColumnsToMatchSet(column_set=wanted, exact_match=True, meta=meta)


def _table(split: str) -> "Iterator[Expectation]":
    import great_expectations.expectations as gxe

    if split in ("train", "test"):
        meta = _meta("there are rows", "at least 1")
        yield gxe.ExpectTableRowCountToBeBetween(min_value=1, meta=meta)


def _field(field: FieldContract) -> "Iterator[Expectation]":
    import great_expectations.expectations as gxe

    name = field.name
    kind = {"string": "text", "number": "a finite number", "integer": "a whole number"}.get(
        field.type, f"a {field.type}"
    )
    yield _always(f"{name}::readable", True, f"{name} is {kind}", "every row")
    if field.required:
        meta = _meta(f"{name} is present", "every row")
        yield gxe.ExpectColumnValuesToNotBeNull(column=name, meta=meta)
    if field.type == "string":
        if field.min_length > 0:
            yield _always(f"{name}::blank", False, f"{name} is not empty", "every row")
        # A least length of one is what "not empty" says already.
        least = field.min_length if field.min_length > 1 else None
        bound = f"{least} to {field.max_length}" if least else f"at most {field.max_length}"
        meta = _meta(f"{name} has a bounded length", f"{bound} characters")
        yield gxe.ExpectColumnValueLengthsToBeBetween(
            column=name, min_value=least, max_value=field.max_length, meta=meta
        )
        what = f"{name} is rightly encoded"
        yield _always(f"{name}::damaged", False, what, "no replacement or control characters, no mojibake")
    if field.values:
        meta = _meta(f"{name} is an allowed value", f"one of {len(field.values)} listed")
        yield gxe.ExpectColumnValuesToBeInSet(column=name, value_set=list(field.values), meta=meta)
    low, high = field.minimum, field.maximum
    if field.type in ("number", "integer") and (low is not None or high is not None):
        bound = " and ".join(
            f"{word} {value:g}" for word, value in (("at least", low), ("at most", high)) if value is not None
        )
        meta = _meta(f"{name} lies within its bounds", bound)
        yield gxe.ExpectColumnValuesToBeBetween(column=name, min_value=low, max_value=high, meta=meta)


def _label(contract: FeatureContract, split: str) -> "Iterator[Expectation]":
    import great_expectations.expectations as gxe

    name = contract.label
    yield gxe.ExpectColumnValuesToNotBeNull(column=name, meta=_meta(f"{name} is present", "every row"))
    allowed = [contract.outside] if split == "outside" else list(contract.labels)
    meta = _meta(f"{name} is a known label", f"one of {len(allowed)} allowed")
    yield gxe.ExpectColumnValuesToBeInSet(column=name, value_set=allowed, meta=meta)


def _rows(contract: FeatureContract) -> "Iterator[tuple[str, Expectation]]":
    import great_expectations.expectations as gxe

    same = " and ".join(contract.identity)
    column = "::labels_of_same"
    meta = _meta(f"the same {same} has one {contract.label}", "at most 1, whatever case and spaces")
    yield column, gxe.ExpectColumnValuesToBeBetween(column=column, max_value=1, meta=meta)
    column = "::also_in_test"
    yield column, _always(column, False, f"the same {same} is not among the test rows as well", "no row")
    column = "::rows_of_label"
    least = contract.min_rows_per_label
    meta = _meta(f"every {contract.label} has enough rows", f"at least {least}")
    yield column, gxe.ExpectColumnValuesToBeBetween(column=column, min_value=least, meta=meta)
    column = "::trained"
    yield column, _always(column, True, f"every {contract.label} has training rows", "at least 1")


def _always(column: str, value: bool, what: str, bound: str) -> "Expectation":
    import great_expectations.expectations as gxe

    return gxe.ExpectColumnValuesToBeInSet(column=column, value_set=[value], meta=_meta(what, bound))


def _meta(check: str, bound: str) -> dict[str, Any]:
    return {"check": check, "bound": bound}
