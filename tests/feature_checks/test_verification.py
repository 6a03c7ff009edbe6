"""`verify:` in usecase.yaml: names, or names with options; every mistake is named with what is allowed."""

import pytest

from feature_checks.errors import UseCaseError
from feature_checks.usecase import load_usecase
from feature_checks.verification import OPTIONS, Length, Verification, read_verification
from tests.toy import write_text_usecase

INVENTED = "no_bad_words: no such validator; allowed: " + ", ".join(OPTIONS)
BAD = [
    (["no_bad_words"], f"verify.0: {INVENTED}"),
    (["length"], "verify.0: length: key 'fields' is missing"),
    (
        [{"length": {"fields": {"kind": {"max_word": 3}}}}],
        "length: key 'fields.kind.max_word' is not known; allowed: min_characters, max_characters, max_words",
    ),
    (
        [{"length": {"fields": {"kin": {}}}}],
        "verify: length: fields: 'kin' is none of the output fields of text: kind",
    ),
    (["no_new_pii", "no_new_pii"], "verify: no_new_pii: is asked for twice"),
    (
        [{"allowed_values": {"fields": {"kind": {"file": "no.txt"}}}}],
        "fields.kind.file: there is no file 'no.txt' in parcels/",
    ),
    ([{"allowed_values": {"fields": {"kind": {}}}}], "expected exactly one of values, file, from_input"),
    (
        [{"allowed_values": {"fields": {"kind": {"from_input": ["txt"]}}}}],
        "fields.kind.from_input: 'txt' is none of the input fields: text",
    ),
    ([{"allowed_amounts": {"facts": ["labels.txt", "no.ttl"]}}], "facts.1: there is no file 'no.ttl'"),
    (["language"], "language: expected exactly one of allowed, same_as"),
    ([{"language": {"same_as": "txt"}}], "same_as: 'txt' is none of the input fields: text"),
    ([{"language": {"allowed": ["de"], "among": ["en"]}}], "among: must hold every allowed language"),
    ([{"no_injection": {"links": "some"}}], "no_injection: links: Input should be 'approved' or 'any'"),
    ([{"length": 3}], "length: expected its options as a mapping, got int"),
    ([{"length": {3: 4}}], "length: expected option names that are text"),
    ([{"length": {}, "language": {}}], "expected the name of a validator, or one name with its options"),
    ([3], "expected the name of a validator, or one name with its options"),
]


@pytest.mark.parametrize(("asked", "said"), BAD)
def test_a_mistake_is_refused_with_file_key_and_what_is_allowed(tmp_path, asked, said):
    write_text_usecase(tmp_path, verify=asked)
    with pytest.raises(UseCaseError) as raised:
        load_usecase("parcels", tmp_path)
    assert "parcels/usecase.yaml" in str(raised.value)
    assert said in str(raised.value)


def test_names_alone_and_names_with_options_are_read(tmp_path):
    bounds = {"fields": {"kind": {"max_words": 1}}}
    write_text_usecase(tmp_path, verify=["output_schema", {"length": bounds}])
    plain, length = load_usecase("parcels", tmp_path).verify
    assert plain == Verification("output_schema")
    assert length == Verification("length", Length(**bounds))
    assert read_verification(length) is length


def test_a_use_case_that_says_nothing_is_held_to_its_output_contract(tmp_path):
    write_text_usecase(tmp_path)
    assert load_usecase("parcels", tmp_path).verify == (Verification("output_schema"),)
