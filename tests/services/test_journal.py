"""The journal: records in order, found again, durable as the setting says, many writers side by side."""

import asyncio
import itertools
import os
import threading

import pytest

from services.chain import verify_chain
from services.errors import ChainBroken, JournalUnavailable
from services.journal import Journal
from services.journal_reader import find_decision, journal_files, read_entries, verify_journal
from services.synthesis import Outcome, answer_digest
from services.values import AttemptRecord
from tests.fakes import envelope_of, support

USECASE = support()
OUTPUT = {"reply": "An answer.", "intent": "card_arrival"}


def outcome(**changes):
    values = {
        "route": "local", "output": OUTPUT, "answer_digest": answer_digest(OUTPUT), "confidence": 0.9,
        "degraded": False, "reasons": ("local: sure",),
        "attempts": (AttemptRecord("local", "answered", "sure", ("permit-it",), 0.3, 0.0, "d" * 64),),
        "validators": ("output_schema",), "versions": {"config": "abc"}, "cost_usd": 0.0,
    }  # fmt: skip
    return Outcome(**{**values, **changes})


async def test_nothing_is_made_before_the_first_record(tmp_path):
    Journal(tmp_path / "journal").close()
    assert not (tmp_path / "journal").exists()


async def test_a_record_holds_the_redacted_request_the_answer_and_every_attempt(tmp_path):
    journal, envelope = Journal(tmp_path), envelope_of(USECASE, text="lost <CARD_1>")
    appended = await journal.append(envelope, outcome())
    entry = find_decision(journal_files(tmp_path), envelope.id)
    assert (entry.file, entry.record["seq"], entry.hash) == (appended.file, appended.seq, appended.hash)
    assert entry.record["request"]["fields"] == {"text": "lost <CARD_1>"}
    assert entry.record["request"]["tags"] == ["user_content"]
    assert entry.record["output"] == OUTPUT
    assert entry.record["attempts"][0]["policy_ids"] == ["permit-it"]
    assert entry.record["ts"].endswith("+00:00")


async def test_a_record_is_readable_the_moment_append_returns(tmp_path):
    journal = Journal(tmp_path)
    for _ in range(50):
        envelope = envelope_of(USECASE)
        await journal.append(envelope, outcome())
        assert find_decision(journal_files(tmp_path), envelope.id) is not None


async def test_the_chain_of_a_whole_run_holds(tmp_path):
    journal = Journal(tmp_path)
    for _ in range(30):
        await journal.append(envelope_of(USECASE), outcome())
    journal.close()
    (file,) = journal_files(tmp_path)
    assert verify_chain(file).records == 31
    assert [entry.record["seq"] for entry in read_entries(tmp_path)] == list(range(1, 31))


async def test_journal_files_are_for_their_owner_only(tmp_path):
    journal = Journal(tmp_path / "journal")
    await journal.append(envelope_of(USECASE), outcome())
    (file,) = journal_files(tmp_path / "journal")
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700


async def test_a_full_file_is_followed_by_another_that_names_its_last_record(tmp_path):
    journal = Journal(tmp_path, max_file_bytes=3000)
    ids = []
    for _ in range(12):
        envelope = envelope_of(USECASE)
        ids.append(envelope.id)
        await journal.append(envelope, outcome())
    journal.close()
    files = journal_files(tmp_path)
    assert len(files) > 2
    reports = [verify_chain(file) for file in files]
    for before, after in itertools.pairwise(reports):
        expected = {"file": before.file, "seq": before.head_seq, "hash": before.head_hash}
        assert after.header["continues"] == expected
    assert [entry.record["id"] for entry in read_entries(tmp_path)] == ids
    assert find_decision(journal_files(tmp_path), ids[0]) is not None


async def test_a_cut_or_lost_file_is_found_through_the_one_that_follows_it(tmp_path):
    journal = Journal(tmp_path, max_file_bytes=3000)
    for _ in range(12):
        await journal.append(envelope_of(USECASE), outcome())
    journal.close()
    assert verify_journal(tmp_path).problems == ()
    first, second, *_ = journal_files(tmp_path)
    lines = first.read_bytes().splitlines(keepends=True)
    first.write_bytes(b"".join(lines[:-1]))
    (problem,) = verify_journal(tmp_path).problems
    assert (problem.file, problem.seq) == (first.name, len(lines) - 1)
    first.write_bytes(b"".join(lines))
    second.unlink()
    (problem,) = verify_journal(tmp_path).problems
    assert problem.file == second.name
    assert "gone" in str(problem)


async def test_receipts_hashes_serve_as_anchors_for_a_file_that_nothing_follows(tmp_path):
    journal = Journal(tmp_path)
    for _ in range(3):
        appended = await journal.append(envelope_of(USECASE), outcome())
    journal.close()
    anchors = {appended.file: {appended.seq: appended.hash}}
    assert verify_journal(tmp_path, anchors).problems == ()
    (file,) = journal_files(tmp_path)
    file.write_bytes(b"".join(file.read_bytes().splitlines(keepends=True)[:-1]))
    assert verify_journal(tmp_path).problems == ()
    (problem,) = verify_journal(tmp_path, anchors).problems
    assert isinstance(problem, ChainBroken)
    assert problem.seq == appended.seq


@pytest.mark.parametrize("sync", ["interval", "always"])
async def test_many_requests_at_once_are_all_recorded_once(tmp_path, sync):
    journal = Journal(tmp_path, sync=sync, sync_s=0.01)
    envelopes = [envelope_of(USECASE) for _ in range(200)]
    await asyncio.gather(*(journal.append(envelope, outcome()) for envelope in envelopes))
    journal.close()
    assert sorted(e.record["id"] for e in read_entries(tmp_path)) == sorted(e.id for e in envelopes)
    assert verify_journal(tmp_path).problems == ()


async def test_with_always_append_returns_only_after_a_sync_and_requests_share_it(tmp_path, monkeypatch):
    synced = []
    real = os.fdatasync
    free = threading.Event()
    free.set()

    def counting(fd):
        free.wait(10)
        real(fd)
        synced.append(os.fstat(fd).st_size)

    monkeypatch.setattr(os, "fdatasync", counting)
    journal = Journal(tmp_path, sync="always")
    await journal.append(envelope_of(USECASE), outcome())
    (file,) = journal_files(tmp_path)
    assert synced[-1] == file.stat().st_size
    before = len(synced)
    free.clear()  # the disk is slow just now: whoever comes meanwhile shares the next sync
    appends = [asyncio.ensure_future(journal.append(envelope_of(USECASE), outcome())) for _ in range(100)]
    await asyncio.sleep(0)
    assert not any(one.done() for one in appends)
    free.set()
    await asyncio.gather(*appends)
    assert synced[-1] == file.stat().st_size
    assert len(synced) - before < 10
    journal.close()


async def test_with_interval_a_sync_follows_within_the_interval_and_at_close(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fdatasync", lambda fd: synced.append(os.fstat(fd).st_size))
    journal = Journal(tmp_path, sync="interval", sync_s=30)
    await journal.append(envelope_of(USECASE), outcome())
    await journal.append(envelope_of(USECASE), outcome())
    (file,) = journal_files(tmp_path)
    assert synced[-1:] != [file.stat().st_size]
    journal.close()
    assert synced[-1] == file.stat().st_size


async def test_a_closed_journal_begins_a_new_file_when_it_is_used_again(tmp_path):
    journal = Journal(tmp_path)
    await journal.append(envelope_of(USECASE), outcome())
    journal.close()
    await journal.append(envelope_of(USECASE), outcome())
    journal.close()
    assert len(journal_files(tmp_path)) == 2
    assert verify_journal(tmp_path).problems == ()


async def test_feedback_is_chained_with_the_decisions(tmp_path):
    journal, envelope = Journal(tmp_path), envelope_of(USECASE)
    await journal.append(envelope, outcome())
    await journal.append_feedback(envelope.id, "acme", {"correct": False})
    journal.close()
    decision, feedback = read_entries(tmp_path)
    assert (feedback.record["kind"], feedback.record["verdict"]) == ("feedback", {"correct": False})
    assert feedback.record["prev"] == decision.hash
    assert find_decision(journal_files(tmp_path), envelope.id).record["kind"] == "decision"


async def test_what_json_cannot_hold_is_refused_and_leaves_nothing_behind(tmp_path):
    journal = Journal(tmp_path)
    await journal.append(envelope_of(USECASE), outcome())
    for bad in (outcome(confidence=float("nan")), outcome(output={"reply": "\ud800", "intent": "x"})):
        with pytest.raises(JournalUnavailable):
            await journal.append(envelope_of(USECASE), bad)
    await journal.append(envelope_of(USECASE), outcome())
    journal.close()
    (report,) = verify_journal(tmp_path).files
    assert report.records == 3


async def test_a_torn_last_line_and_a_damaged_one_do_not_hide_the_other_records(tmp_path):
    journal = Journal(tmp_path)
    envelopes = [envelope_of(USECASE) for _ in range(3)]
    for envelope in envelopes:
        await journal.append(envelope, outcome())
    journal.close()
    (file,) = journal_files(tmp_path)
    lines = file.read_bytes().splitlines(keepends=True)
    lines[2] = lines[2].replace(b"card_arrival", b"card_arrived")
    file.write_bytes(b"".join(lines) + b'{"half":')
    assert [e.record["id"] for e in read_entries(tmp_path)] == [envelopes[0].id, envelopes[2].id]
    assert find_decision(journal_files(tmp_path), envelopes[2].id) is not None
    assert find_decision(journal_files(tmp_path), envelopes[1].id) is None
    (problem,) = verify_journal(tmp_path).problems
    assert problem.seq == 2
