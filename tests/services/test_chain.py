"""The hash chain finds every change inside a file, and with anchors also cut tails and rehashed files."""

import hashlib
import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.chain import GENESIS, from_line, to_line, verify_chain
from services.errors import ChainBroken
from services.journal_file import JournalFile
from services.privacy.hashing import canonical_json

AT = "2026-11-22T21:00:00.000000+00:00"
CONTENT = st.dictionaries(
    st.text(max_size=8),
    st.none() | st.booleans() | st.integers() | st.text(max_size=30),
    min_size=1,
    max_size=4,
)


def journal_file(folder, contents, before=None):
    file = JournalFile.create(folder, "start", before)
    for content in contents:
        file.append("decision", content)
    file.close()
    return file.path


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """A file of a header and eight records; tests damage copies of it."""
    folder = tmp_path_factory.mktemp("chain")
    return journal_file(folder, [{"id": f"{n:032x}", "text": "grüße " * n} for n in range(8)])


def copy_with(original, tmp_path_factory, raw):
    copy = tmp_path_factory.mktemp("copy") / original.name
    copy.write_bytes(raw)
    return copy


@given(CONTENT)
def test_a_line_reads_back_as_its_record_and_anybody_can_recompute_its_hash(content):
    line, digest = to_line("decision", 7, AT, GENESIS, content)
    link = from_line(line)
    head = {"kind": "decision", "seq": 7, "ts": AT, "prev": GENESIS}
    assert {**content, **head}.items() <= link.record.items()
    assert link.hash == digest
    assert line.count(b"\n") == 1
    plain = json.loads(line)
    assert plain.pop("content") == content
    assert plain.pop("hash") == hashlib.sha256(canonical_json(plain)).hexdigest() == digest
    assert plain["content_sha256"] == hashlib.sha256(canonical_json(content)).hexdigest()


def test_a_content_cannot_pose_as_the_head_of_its_record(tmp_path):
    line, _ = to_line("decision", 7, AT, GENESIS, {"seq": 1, "kind": "header", "hash": "0", "content": {}})
    assert (from_line(line).record["seq"], from_line(line).record["kind"]) == (7, "decision")


def test_an_untouched_file_verifies_and_reports_its_head(original):
    report = verify_chain(original)
    assert (report.records, report.head_seq, report.torn_bytes) == (9, 8, 0)
    assert report.head_hash == from_line(original.read_bytes().splitlines()[-1]).hash
    assert report.header["file"] == original.name
    first = json.loads(original.read_bytes().splitlines()[0])
    assert first["prev"] == GENESIS


@settings(max_examples=300, deadline=None)
@given(position=st.integers(0, 10**6), flip=st.integers(1, 255))
def test_any_changed_byte_is_found_and_its_record_named(original, tmp_path_factory, position, flip):
    raw = bytearray(original.read_bytes())
    position %= len(raw)
    record = raw[:position].count(b"\n")
    raw[position] ^= flip
    with pytest.raises(ChainBroken) as raised:
        verify_chain(copy_with(original, tmp_path_factory, bytes(raw)))
    assert raised.value.seq == record


def test_the_very_last_byte_cannot_be_changed_into_a_torn_line(original, tmp_path_factory):
    raw = original.read_bytes()
    for last in (b"x", b" ", b"\r"):
        with pytest.raises(ChainBroken, match="record 8: was changed"):
            verify_chain(copy_with(original, tmp_path_factory, raw[:-1] + last))


@settings(max_examples=60, deadline=None)
@given(gone=st.integers(0, 7), count=st.integers(1, 3))
def test_any_removed_record_is_found(original, tmp_path_factory, gone, count):
    lines = original.read_bytes().splitlines(keepends=True)
    count = min(count, 8 - gone)  # the last record stays: a cut tail is another matter
    del lines[gone : gone + count]
    with pytest.raises(ChainBroken) as raised:
        verify_chain(copy_with(original, tmp_path_factory, b"".join(lines)))
    assert raised.value.seq == gone
    assert "was removed" in str(raised.value)


@settings(max_examples=60, deadline=None)
@given(first=st.integers(0, 8), second=st.integers(0, 8))
def test_any_swapped_records_are_found(original, tmp_path_factory, first, second):
    if first == second:
        return
    lines = original.read_bytes().splitlines(keepends=True)
    lines[first], lines[second] = lines[second], lines[first]
    with pytest.raises(ChainBroken) as raised:
        verify_chain(copy_with(original, tmp_path_factory, b"".join(lines)))
    assert raised.value.seq == min(first, second)
    assert "was moved" in str(raised.value)


def test_a_repeated_record_is_found(original, tmp_path_factory):
    lines = original.read_bytes().splitlines(keepends=True)
    lines.insert(4, lines[3])
    with pytest.raises(ChainBroken, match="record 4: was moved"):
        verify_chain(copy_with(original, tmp_path_factory, b"".join(lines)))


def test_a_record_with_a_new_hash_of_its_own_breaks_the_one_after_it(original, tmp_path_factory):
    lines = original.read_bytes().splitlines(keepends=True)
    record = {**from_line(lines[3]).record, "text": "forged"}
    lines[3] = line_of(record, record["prev"])[0]
    with pytest.raises(ChainBroken, match="record 4: does not follow"):
        verify_chain(copy_with(original, tmp_path_factory, b"".join(lines)))


def line_of(record, prev):
    """A line as a forger makes it: right in itself."""
    head = ("kind", "seq", "ts", "prev", "content_sha256")
    content = {name: value for name, value in record.items() if name not in head}
    return to_line(record["kind"], record["seq"], record["ts"], prev, content)


def rehashed(original, change_at):
    """The file as a thorough forger leaves it: one record changed, every hash from there made anew."""
    lines, prev = [], GENESIS
    for line in original.read_bytes().splitlines():
        record = dict(from_line(line).record)
        if record["seq"] == change_at:
            record["text"] = "forged"
        made, prev = line_of(record, prev)
        lines.append(made)
    return b"".join(lines)


@settings(max_examples=20, deadline=None)
@given(change_at=st.integers(1, 8), data=st.data())
def test_a_file_rehashed_as_a_whole_is_found_by_any_later_hash_known_from_elsewhere(
    original, tmp_path_factory, change_at, data
):
    known = data.draw(st.integers(change_at, 8))
    anchor = {known: from_line(original.read_bytes().splitlines()[known]).hash}
    copy = copy_with(original, tmp_path_factory, rehashed(original, change_at))
    assert verify_chain(copy).records == 9
    with pytest.raises(ChainBroken, match=f"record {known}: was rewritten"):
        verify_chain(copy, anchor)


@settings(max_examples=40, deadline=None)
@given(keep=st.integers(0, 10**6))
def test_a_cut_tail_is_found_by_a_hash_known_from_elsewhere(original, tmp_path_factory, keep):
    raw = original.read_bytes()
    last = from_line(raw.splitlines()[-1]).hash
    copy = copy_with(original, tmp_path_factory, raw[: keep % len(raw)])
    with pytest.raises(ChainBroken, match="is missing"):
        verify_chain(copy, {8: last})


@settings(max_examples=40, deadline=None)
@given(kept=st.integers(1, 10**6))
def test_a_half_written_last_line_is_told_apart_from_a_changed_one(original, tmp_path_factory, kept):
    raw = original.read_bytes()
    start = raw.rstrip(b"\n").rfind(b"\n") + 1
    kept = 1 + kept % (len(raw) - start - 1)
    report = verify_chain(copy_with(original, tmp_path_factory, raw[: start + kept]))
    assert (report.records, report.torn_bytes) == (8, kept)


def test_a_renamed_file_and_a_foreign_format_are_refused(original, tmp_path):
    renamed = tmp_path / "other.jsonl"
    renamed.write_bytes(original.read_bytes())
    with pytest.raises(ChainBroken, match="was renamed"):
        verify_chain(renamed)
    strange = tmp_path / "strange.jsonl"
    strange.write_bytes(to_line("header", 0, AT, GENESIS, {"format": 99})[0])
    with pytest.raises(ChainBroken, match="header of format 1"):
        verify_chain(strange)


def test_random_bytes_are_refused_and_never_crash(tmp_path):
    chance = random.Random(7)
    for number in range(50):
        file = tmp_path / f"{number}.jsonl"
        file.write_bytes(chance.randbytes(200) + b"\n")
        with pytest.raises(ChainBroken):
            verify_chain(file)
