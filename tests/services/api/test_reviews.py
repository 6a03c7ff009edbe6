"""GET /v1/reviews and POST /v1/reviews/{id}: from an unsure answer to a reviewer's word in the journal."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from services.errors import StateUnavailable
from services.journal_reader import read_entries
from services.keys import utc_now
from services.quarantine import held_item
from services.state.reviews import ReviewStore
from tests.fakes import REPOSITORY
from tests.served import Served, all_bytes, served
from tests.services.api.test_decide import error_of

TEXT = "My card 4111 1111 1111 1111 is lost"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A use case where two reviewers must agree; the queue holds three, none by chance."""
    folder = tmp_path / "usecases"
    shutil.copytree(REPOSITORY / "usecases" / "support", folder / "support")
    file = folder / "support" / "usecase.yaml"
    described = yaml.safe_load(file.read_text())
    described["review"] = {"when": ["low_confidence"], "max_queue": 3, "agreement": 2}
    file.write_text(yaml.safe_dump(described, sort_keys=False))
    return folder


@pytest.fixture
async def app(home: Path, folder: Path) -> AsyncIterator[Served]:
    """Its model is never sure."""
    async with served(home, confidence=0.1, usecases_dir=folder) as running:
        yield running


async def queued(app: Served, text: str = TEXT) -> dict[str, Any]:
    """A decision whose review has reached the queue."""
    made: dict[str, Any] = (await app.decide(text)).json()
    await asyncio.sleep(0)  # observers run just after the answer
    await app.runtime.reviews.close()
    return made


async def say(app: Served, review: str, key: str | None = None, **body: Any) -> httpx.Response:
    headers = {"authorization": f"Bearer {key}"} if key else {}
    return await app.client.post(f"/v1/reviews/{review}", json=body, headers=headers)


async def listed(app: Served, key: str | None = None, query: str = "") -> httpx.Response:
    headers = {"authorization": f"Bearer {key}"} if key else {}
    return await app.client.get(f"/v1/reviews{query}", headers=headers)


async def test_an_unsure_answer_names_its_review_and_a_reviewer_finds_it_redacted(app: Served) -> None:
    """No sink holds the number; the same request again is the same review."""
    made = await queued(app)
    again = await queued(app)
    (review,) = (await listed(app)).json()["reviews"]
    assert made["review_id"] == again["review_id"] == review["id"]
    assert review["input"] == {"text": "My card <CARD_1> is lost"}
    assert (review["why"], review["seen"], review["held"]) == (["low_confidence"], 2, None)
    assert b"4111 1111" not in all_bytes(app.runtime.settings.home)


async def test_a_quarantined_row_is_shown_with_its_reason_and_a_word_on_it_settles(app: Served) -> None:
    """Confirmed or corrected: the journal says that it decides, which no ordinary word does."""
    usecase, store = app.runtime.pipeline.use_cases["support"].usecase, app.runtime.reviews.store
    made, (said, right) = await queued(app), app.predictor.labels[:2]
    row = {"decision_id": made["id"], "tenant": "acme", "fields": {"text": "lost"}, "label": said,
           "checks": ["label_error"], "expires_at": None}  # fmt: skip
    item = held_item(row, usecase, b"k" * 32, utc_now())
    assert store.enqueue(item, 3).repeated is False
    assert store.enqueue(held_item(row, usecase, b"k" * 32, utc_now()), 3).repeated is True
    (review,) = [one for one in (await listed(app)).json()["reviews"] if one["id"] == item.wanted.id]
    assert (review["why"], review["output"]["intent"]) == (["quarantined", "label_error"], said)
    assert (await say(app, item.wanted.id, app.key("reviewer"), label=right)).status_code == 200
    assert (await say(app, made["review_id"], app.key("reviewer"), label=right)).status_code == 200
    journal = app.runtime.settings.home / "journal"
    words = [one.record for one in read_entries(journal) if one.record and "verdict" in one.record]
    assert [word.get("settles") for word in words] == [True, None]


async def test_a_sure_answer_is_not_reviewed(home: Path, folder: Path) -> None:
    async with served(home, usecases_dir=folder) as app:
        assert (await queued(app))["review_id"] is None
        assert (await listed(app)).json() == {"reviews": []}


async def test_two_reviewers_take_say_and_agree(app: Served) -> None:
    """Each word is in the journal with its key before it counts; the metrics tell of it."""
    made, one, two = await queued(app), app.key("reviewer"), app.key("reviewer")
    label = app.predictor.labels[2]
    taken = (await say(app, "next", one, take=True, use_case="support")).json()["review"]
    assert (taken["id"], taken["held"]) == (made["review_id"], "by_you")
    assert (await listed(app, two)).json()["reviews"][0]["held"] == "by_another"
    assert "another reviewer holds" in error_of(await say(app, taken["id"], two, take=True), 409)
    assert "another reviewer holds" in error_of(await say(app, taken["id"], two, label=label), 409)
    assert (await say(app, taken["id"], one, label=label)).json() == {"id": taken["id"], "resolved": False}
    assert "your word on it already" in error_of(await say(app, taken["id"], one, label=label), 409)
    assert (await say(app, taken["id"], two, label=label)).json() == {"id": taken["id"], "resolved": True}
    error_of(await say(app, taken["id"], two, label=label), 404)
    words = [
        e.record for e in read_entries(app.runtime.settings.journal_dir) if e.record["kind"] == "feedback"
    ]
    assert [(w["id"], w["verdict"]) for w in words] == [(made["id"], {"label": label})] * 2
    assert len({w["source"] for w in words}) == 2
    page = (await app.client.get("/metrics")).text
    assert 'switchyard_reviews_waiting{use_case="support"} 0.0' in page
    assert 'switchyard_reviews_resolved_total{corrected="true",use_case="support"} 1.0' in page
    assert 'switchyard_review_seconds_count{use_case="support"} 1.0' in page


async def test_the_queue_is_bounded_and_says_what_it_dropped(app: Served) -> None:
    for n in range(5):
        await queued(app, f"Something odd number {'abcde'[n]}")
    assert len((await listed(app)).json()["reviews"]) == 3
    assert len((await listed(app, query="?limit=1&use_case=support")).json()["reviews"]) == 1
    assert (await listed(app, query="?use_case=none")).json() == {"reviews": []}
    page = (await app.client.get("/metrics")).text
    assert 'switchyard_reviews_enqueued_total{use_case="support",what="dropped"} 2.0' in page


@pytest.mark.parametrize("limit", ["0000000991", "000000001" + "0" * 30, "0", "101", "x"])
async def test_a_limit_out_of_bounds_is_refused_however_it_is_written(app: Served, limit: str) -> None:
    assert "from 1 to 100" in error_of(await listed(app, query=f"?limit={limit}"), 422)


async def test_a_name_that_no_database_takes_is_refused_before_it_is_asked(app: Served) -> None:
    assert "no name has" in error_of(await listed(app, query="?use_case=%00"), 422)
    assert "no name has" in error_of(await say(app, "next", take=True, use_case="\0"), 422)
    error_of(await say(app, "%00", take=True), 404)


async def test_reviews_are_for_reviewers_of_the_same_tenant(app: Served) -> None:
    """A foreign review does not exist; another role may not even look."""
    made = await queued(app)
    error_of(await listed(app, app.key("caller", "auditor")), 403)
    foreign = app.key("reviewer", tenant="globex")
    assert (await listed(app, foreign)).json() == {"reviews": []}
    assert (await say(app, "next", foreign, take=True)).json() == {"review": None}
    hidden, missing = await say(app, made["review_id"], foreign, take=True), await say(app, "nope", take=True)
    assert error_of(hidden, 404) == error_of(missing, 404)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "exactly one of take, release, correct, label"),
        ({"take": True, "label": "x"}, "exactly one of"),
        ({"take": 1}, "take: expected true"),
        ({"label": "PLANTED"}, "label: expected one of the"),
        ({"note": "x"}, "body: a field is not known"),
        ([], "expected an object"),
    ],
)
async def test_bad_words_are_refused_by_name(app: Served, body: Any, message: str) -> None:
    made = await queued(app)
    answer = await app.client.post(f"/v1/reviews/{made['review_id']}", json=body)
    assert message in error_of(answer, 422)
    assert b"PLANTED" not in all_bytes(app.runtime.settings.home)


async def test_bad_queries_are_refused_by_name(app: Served) -> None:
    for query, message in (
        ("?limit=0", "limit: expected"),
        ("?limit=x", "limit: expected"),
        ("?x=1", "query: a field is not known; allowed: use_case, limit"),
    ):
        assert message in error_of(await listed(app, query=query), 422)


async def test_what_is_given_back_is_free_again(app: Served) -> None:
    made, one, two = await queued(app), app.key("reviewer"), app.key("reviewer")
    await say(app, made["review_id"], one, take=True)
    error_of(await say(app, made["review_id"], two, release=True), 409)
    assert (await say(app, made["review_id"], one, release=True)).status_code == 200
    assert (await say(app, made["review_id"], two, take=True)).status_code == 200


async def test_without_the_database_answers_go_on_and_the_loss_is_counted(
    app: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> Any:
        raise StateUnavailable("away")

    monkeypatch.setattr(ReviewStore, "enqueue", away)
    assert (await queued(app))["route"]
    page = (await app.client.get("/metrics")).text
    assert 'switchyard_reviews_enqueued_total{use_case="support",what="lost"} 1.0' in page
