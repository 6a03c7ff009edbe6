"""POST /v1/feedback: ground truth is taken from whom it may come, once, and never against itself."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.errors import Contradiction, Expired, InputError, StateUnavailable
from services.feedback import Truth, check_age, is_news, read_truth
from services.journal_reader import read_entries
from services.keys import utc_now
from services.state.database import REVIEWS
from services.state.feedback import FeedbackStore, Given
from tests.served import Served, all_bytes, served
from tests.services.api.test_decide import error_of
from tests.services.evidence.made import KINDS, opened


@pytest.fixture
async def app(home: Path) -> AsyncIterator[Served]:
    async with served(home, feedback_per_hour_per_key=5) as running:
        yield running


async def give(app: Served, key: str | None = None, **body: Any) -> httpx.Response:
    headers = {"authorization": f"Bearer {key}"} if key else {}
    return await app.client.post("/v1/feedback", json=body, headers=headers)


def recorded(app: Served) -> list[dict[str, Any]]:
    entries = read_entries(app.runtime.settings.journal_dir)
    return [dict(e.record) for e in entries if e.record["kind"] == "feedback"]


async def test_what_turned_out_right_is_in_the_journal_with_who_said_so(app: Served) -> None:
    made = (await app.decide()).json()
    answer = await give(app, id=made["id"], correct=True)
    label = made["output"]["intent"]
    assert answer.json() == {"id": made["id"], "correct": True, "label": label, "recorded": True}
    (record,) = recorded(app)
    assert (record["id"], record["tenant"], record["verdict"]) == (made["id"], "acme", {"label": label})
    assert record["source"]


async def test_the_same_said_twice_is_recorded_once_and_more_is_recorded(app: Served) -> None:
    """`correct: false`, then which label it should have been."""
    made, other = (await app.decide()).json(), app.predictor.labels[1]
    assert (await give(app, id=made["id"], correct=False)).json()["recorded"] is True
    assert (await give(app, id=made["id"], correct=False)).json()["recorded"] is False
    assert (await give(app, id=made["id"], label=other)).json()["recorded"] is True
    assert [r["verdict"] for r in recorded(app)] == [{"correct": False}, {"label": other}]


async def test_a_contradiction_is_refused_and_the_first_word_stands(app: Served) -> None:
    """Whoever of the tenant says it."""
    made = (await app.decide()).json()
    await give(app, id=made["id"], correct=True)
    for body in ({"correct": False}, {"label": app.predictor.labels[1]}):
        answer = await give(app, app.key("caller"), id=made["id"], **body)
        assert "says otherwise" in error_of(answer, 409)
    assert len(recorded(app)) == 1


async def test_what_is_said_at_the_same_moment_contradicts_too(app: Served) -> None:
    made, labels = (await app.decide()).json(), app.predictor.labels[:4]
    said = (give(app, app.key("caller"), id=made["id"], label=label) for label in labels)
    answers = await asyncio.gather(*said)
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409]
    assert len(recorded(app)) == 1


async def test_a_key_that_says_everything_at_once_gets_no_more_through(app: Served) -> None:
    made = [(await app.decide(f"Where is card {'abcdefgh'[n]}?")).json()["id"] for n in range(8)]
    answers = await asyncio.gather(*(give(app, id=one, correct=False) for one in made))
    assert sorted(answer.status_code for answer in answers) == [200] * 5 + [429] * 3
    assert len(recorded(app)) == 5


async def test_a_foreign_decision_does_not_exist(app: Served) -> None:
    """The same words as for an id that nobody has."""
    made = (await app.decide()).json()
    foreign = await give(app, app.key("caller", tenant="globex"), id=made["id"], correct=True)
    unknown = await give(app, id="0" * 32, correct=True)
    odd = await give(app, id="../etc", correct=True)
    assert error_of(foreign, 404) == error_of(unknown, 404) == error_of(odd, 404)
    assert recorded(app) == []


async def test_only_callers_may_say(app: Served) -> None:
    made = (await app.decide()).json()
    error_of(await give(app, app.key("auditor"), id=made["id"], correct=True), 403)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "exactly one"),
        ({"correct": True, "label": "x"}, "exactly one"),
        ({"correct": "yes"}, "expected true or false"),
        ({"label": "PLANTED"}, "expected one of the"),
        ({"label": 7}, "expected one of the"),
        ({"correct": True, "note": "hi"}, "body: a field is not known"),
    ],
)
async def test_bad_feedback_is_refused_by_name_without_an_echo(app: Served, body: Any, message: str) -> None:
    made = (await app.decide()).json()
    said = error_of(await give(app, id=made["id"], **body), 422)
    assert message in said
    assert "PLANTED" not in said
    assert b"PLANTED" not in all_bytes(app.runtime.settings.home)


async def test_one_key_cannot_flood_and_another_one_may_go_on(app: Served) -> None:
    """The sixth within the hour is refused with the time to come back."""
    made = [(await app.decide()).json()["id"] for _ in range(6)]
    key = app.key("caller")
    for one in made[:5]:
        assert (await give(app, key, id=one, correct=True)).status_code == 200
    answer = await give(app, key, id=made[5], correct=True)
    assert "5 times within an hour" in error_of(answer, 429)
    assert 3500 < int(answer.headers["retry-after"]) <= 3600
    assert (await give(app, id=made[5], correct=True)).status_code == 200


async def test_without_the_database_nothing_is_said_to_be_recorded(
    app: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """503, and the journal has nothing either: the caller may say it again."""
    made = (await app.decide()).json()

    def away(*_: object) -> Any:
        raise StateUnavailable("away")

    monkeypatch.setattr(FeedbackStore, "of", away)
    error_of(await give(app, id=made["id"], correct=True), 503)
    assert recorded(app) == []


async def test_an_expired_decision_is_gone(app: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """By age, and by retention that took its contents out."""
    made = (await app.decide()).json()
    find: Callable[[str], Any] = app.runtime.find_decision
    entry = await asyncio.to_thread(find, made["id"])
    for change in ({"ts": "2020-01-01T00:00:00+00:00"}, {"removed": {"why": "retention"}}):
        changed = type(entry)(entry.file, {**entry.record, **change}, entry.hash)
        object.__setattr__(app.runtime, "find_decision", lambda _, changed=changed: changed)
        error_of(await give(app, id=made["id"], correct=True), 410)


def test_truth_is_what_was_said_and_what_follows_from_it() -> None:
    """A right answer has the label that was answered; a label equal to the answer means it was right."""
    assert read_truth({"correct": True}, "a", "ab") == Truth(True, "a")
    assert read_truth({"correct": False}, "a", "ab") == Truth(False)
    assert read_truth({"label": "a"}, "a", "ab") == Truth(True, "a")
    assert read_truth({"label": "b"}, None, "ab") == Truth(False, "b")
    for given, answered, allowed in (({"correct": True}, None, "a"), ({"label": "a"}, "a", "")):
        with pytest.raises(InputError):
            read_truth(given, answered, allowed)


def test_news_is_a_label_where_none_was_and_never_a_contradiction() -> None:
    assert is_news(Truth(False, "b"), [Truth(False)])
    assert not is_news(Truth(False), [Truth(False, "b")])
    for earlier in (Truth(True, "a"), Truth(False, "c")):
        with pytest.raises(Contradiction):
            is_news(Truth(False, "b"), [earlier])


def test_a_decision_is_too_old_a_moment_after_its_last_day() -> None:
    now = utc_now()
    check_age(now, now, 1)
    with pytest.raises(Expired):
        check_age(now.replace(year=now.year - 1), now, 90)


@pytest.mark.parametrize("kind", KINDS)
def test_feedback_is_kept_alike_in_both_databases(kind: str, tmp_path: Path) -> None:
    """By decision and tenant; counted by key; said again it replaces."""
    with opened(kind, tmp_path, REVIEWS) as database:
        store = FeedbackStore(database)
        for decision, source, at in (
            ("d1", "k1", "2026-01-01"),
            ("d1", "k2", "2026-01-02"),
            ("d2", "k1", "2026-01-03"),
        ):
            store.add(Given(decision, source, "acme", "any", Truth(False), at))
        store.add(Given("d1", "k1", "acme", "any", Truth(False, "b"), "2026-01-04"))
        assert sorted(store.of("d1", "acme"), key=str) == [Truth(False, "b"), Truth(False)]
        assert store.of("d1", "globex") == []
        assert store.since("k1", "acme", "2026-01-02") == (2, "2026-01-03")
        assert store.since("k1", "globex", "2026") == (0, None)
