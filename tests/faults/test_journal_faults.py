"""What the journal does when things break: killed workers, full disks, failing syncs, meddled files.

In each case: whoever got an answer is in the journal, whoever is told 503 is not half in it, and the
journal goes on as soon as it can.
"""

import asyncio
import errno
import json
import os
import signal
import subprocess
import sys
import textwrap
from contextlib import suppress

import pytest

from services.chain import verify_chain
from services.errors import JournalUnavailable
from services.journal import Journal
from services.journal_reader import journal_files, read_entries, verify_journal
from tests.fakes import REPOSITORY
from tests.faults.journal_writer import OUTCOME, envelope


def writer(folder, count, sync="interval"):
    command = [sys.executable, "-m", "tests.faults.journal_writer", str(folder), str(count), sync]
    return subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)


def recorded(folder):
    return [entry.record["id"] for entry in read_entries(folder)]


async def append(journal, count=1):
    """Append `count` records; the ids of those that were taken."""
    taken = []
    for _ in range(count):
        request = envelope()
        await journal.append(request, OUTCOME)
        taken.append(request.id)
    return taken


@pytest.mark.parametrize("sync", ["interval", "always"])
def test_after_kill_9_every_answered_request_is_in_the_journal(tmp_path, sync):
    workers = [writer(tmp_path, 0, sync) for _ in range(2)]
    answered = []
    for number, worker in enumerate(workers):
        answered += [worker.stdout.readline().strip() for _ in range(40 + 100 * number)]
        worker.send_signal(signal.SIGKILL)
        answered += [line.strip() for line in worker.stdout if line.endswith("\n")]
        worker.wait()
        worker.stdout.close()
    found = recorded(tmp_path)
    assert set(answered) <= set(found)
    assert len(found) == len(set(found))
    assert len(found) - len(answered) <= 2  # recorded, and killed before the answer left
    assert verify_journal(tmp_path).problems == ()


def test_many_workers_write_side_by_side_each_to_its_own_file(tmp_path):
    workers = [writer(tmp_path, 60) for _ in range(4)]
    answered = [line.strip() for worker in workers for line in worker.communicate()[0].splitlines()]
    assert sorted(recorded(tmp_path)) == sorted(answered)
    assert len(answered) == 240
    assert len(journal_files(tmp_path)) == 4
    assert verify_journal(tmp_path).problems == ()


def test_a_file_that_may_not_grow_refuses_leaves_nothing_half_written_and_goes_on_when_it_may(tmp_path):
    """The kernel itself writes a part and then refuses: RLIMIT_FSIZE, in a process of its own."""
    script = textwrap.dedent("""
        import asyncio, json, resource, sys
        from pathlib import Path
        from services.chain import verify_chain
        from services.errors import JournalUnavailable
        from services.journal import Journal
        from services.journal_reader import journal_files
        from tests.faults.journal_writer import OUTCOME, envelope

        async def main():
            hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
            journal, taken, refused = Journal(Path(sys.argv[1]), sync_s=30), [], 0
            async def one():
                request = envelope()
                await journal.append(request, OUTCOME)
                taken.append(request.id)
            for _ in range(3):
                await one()
            (file,) = journal_files(Path(sys.argv[1]))
            resource.setrlimit(resource.RLIMIT_FSIZE, (file.stat().st_size + 100, hard))
            for _ in range(5):
                try:
                    await one()
                except JournalUnavailable:
                    refused += 1
            torn = verify_chain(file).torn_bytes
            problem = journal.problem
            resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
            await one()
            journal.close()
            print(json.dumps({"taken": taken, "refused": refused, "torn": torn, "problem": problem}))
        asyncio.run(main())
    """)
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], cwd=REPOSITORY, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["refused"], told["torn"]) == (5, 0)
    assert told["problem"]
    assert recorded(tmp_path) == told["taken"]
    assert len(told["taken"]) == 4
    assert verify_journal(tmp_path).problems == ()


async def test_a_full_disk_refuses_each_request_with_503_and_the_journal_resumes(tmp_path, monkeypatch):
    journal = Journal(tmp_path, sync_s=30)
    taken = await append(journal, 3)
    real = os.write

    def full(fd, data):
        real(fd, data[: len(data) // 2])  # the part that still fitted
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    for _ in range(4):
        with pytest.raises(JournalUnavailable) as raised:
            await append(journal)
        assert raised.value.status == 503
        assert "No space left" in raised.value.message
        assert str(tmp_path) not in raised.value.message
    assert journal.problem == "No space left on device"
    monkeypatch.setattr(os, "write", real)
    taken += await append(journal, 2)
    journal.close()
    assert journal.problem is None
    assert recorded(tmp_path) == taken
    (report,) = verify_journal(tmp_path).files
    assert (report.records, report.torn_bytes) == (6, 0)


async def test_a_full_disk_at_the_first_record_leaves_no_file_behind(tmp_path, monkeypatch):
    def full(fd, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    journal = Journal(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(JournalUnavailable):
            await append(journal)
    assert journal_files(tmp_path) == []
    taken = await append(journal)
    journal.close()
    assert recorded(tmp_path) == taken


async def test_a_half_written_record_that_cannot_be_cut_off_ends_its_file_and_a_new_one_begins(
    tmp_path, monkeypatch
):
    journal = Journal(tmp_path, sync_s=30)
    taken = await append(journal, 2)
    real = os.write

    def broken(*args):
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda fd, data: real(fd, data[:50]))
        patch.setattr(os, "ftruncate", broken)
        with pytest.raises(JournalUnavailable):
            await append(journal)
    taken += await append(journal, 2)
    journal.close()
    assert recorded(tmp_path) == taken
    report = verify_journal(tmp_path)
    assert report.problems == ()
    assert [file.torn_bytes for file in report.files] == [50, 0]


async def test_a_failing_sync_refuses_all_who_wait_for_it_and_the_journal_goes_on_in_a_new_file(
    tmp_path, monkeypatch
):
    journal = Journal(tmp_path, sync="always")
    taken = await append(journal, 2)

    def failing(fd):
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", failing)
        results = await asyncio.gather(*(append(journal) for _ in range(5)), return_exceptions=True)
        assert all(isinstance(result, JournalUnavailable) for result in results)
    taken += await append(journal, 2)
    journal.close()
    assert set(taken) <= set(recorded(tmp_path))
    files = journal_files(tmp_path)
    assert len(files) == 2
    assert verify_chain(files[-1]).header["why"] == "a sync of the journal file failed"
    assert verify_journal(tmp_path).problems == ()


async def test_after_a_failed_sync_a_second_one_that_succeeds_is_not_believed(tmp_path, monkeypatch):
    """The kernel reports a lost page once and then calls it clean."""
    calls = []
    real = os.fdatasync

    def fails_once(fd):
        calls.append(fd)
        if len(calls) == 2:
            raise OSError(errno.EIO, "Input/output error")
        real(fd)

    monkeypatch.setattr(os, "fdatasync", fails_once)
    journal = Journal(tmp_path, sync="always")
    with pytest.raises(JournalUnavailable):
        await append(journal)
    taken = await append(journal)
    journal.close()
    last = journal_files(tmp_path)[-1]
    assert len(journal_files(tmp_path)) == 2
    assert taken[0] in [e.record["id"] for e in read_entries(tmp_path) if e.file == last.name]


async def test_a_background_sync_that_fails_moves_the_journal_to_a_new_file(tmp_path, monkeypatch):
    failed = asyncio.Event()
    loop = asyncio.get_running_loop()

    def failing(fd):
        loop.call_soon_threadsafe(failed.set)
        raise OSError(errno.EIO, "Input/output error")

    journal = Journal(tmp_path, sync="interval", sync_s=0.001)
    taken = await append(journal)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", failing)
        taken += await append(journal)
        await asyncio.wait_for(failed.wait(), 5)
        async with asyncio.timeout(5):
            while journal.problem is None:  # the thread may need a moment to say so
                with suppress(JournalUnavailable):  # a new file cannot be made durable either
                    taken += await append(journal)
                await asyncio.sleep(0)
        assert journal.problem == "Input/output error"
    taken += await append(journal)
    journal.close()
    assert recorded(tmp_path) == taken
    assert len(journal_files(tmp_path)) == 2


@pytest.mark.parametrize("meddle", ["removed", "appended to", "cut"])
async def test_a_file_that_somebody_touched_is_left_alone_and_a_new_one_begins(tmp_path, meddle):
    journal = Journal(tmp_path)
    await append(journal, 3)
    (file,) = journal_files(tmp_path)
    if meddle == "removed":
        file.unlink()
    elif meddle == "cut":
        os.truncate(file, file.stat().st_size - 100)
    else:
        with file.open("ab") as stream:
            stream.write(b'{"forged":true}\n')
    (later,) = await append(journal)
    journal.close()
    new = journal_files(tmp_path)[-1]
    assert new != file
    assert later in recorded(tmp_path)
    assert "journal file was" in verify_chain(new).header["why"]
    assert [problem.file for problem in verify_journal(tmp_path).problems] == [file.name]


async def test_a_lost_folder_is_made_again(tmp_path):
    folder = tmp_path / "journal"
    journal = Journal(folder)
    await append(journal)
    (file,) = journal_files(folder)
    file.unlink()
    folder.rmdir()
    taken = await append(journal)
    journal.close()
    assert recorded(folder) == taken


async def test_a_forked_worker_writes_to_a_file_of_its_own(tmp_path):
    journal = Journal(tmp_path, sync_s=30)
    mine = await append(journal, 2)
    child = os.fork()
    if child == 0:  # only os._exit leaves here: the test's own clean-up belongs to the parent
        signal.alarm(20)
        try:
            coroutine = append(journal, 2)
            try:
                coroutine.send(None)
            except StopIteration:
                os._exit(0)
        finally:
            os._exit(1)
    _, status = await asyncio.to_thread(os.waitpid, child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    mine += await append(journal, 2)
    journal.close()
    files = journal_files(tmp_path)
    assert len(files) == 2
    assert verify_journal(tmp_path).problems == ()
    own = [entry for entry in read_entries(tmp_path) if entry.record["id"] in mine]
    assert [entry.record["id"] for entry in own] == mine
    assert {entry.file for entry in own} == {files[0].name}
    assert len(recorded(tmp_path)) == 6
