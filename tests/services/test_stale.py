"""The last good answer: kept for the very same request of the same tenant, said to be old, gone in time."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from feature_checks.usecase import StaleSpec, UseCase
from services.errors import StateUnavailable, TargetFailed
from services.evidence.retention import Rule
from services.kept_answers import AnswerShelf, Keeping, KeptAnswers, in_words
from services.state.database import Database
from services.state.kept_database import DatabaseAnswers
from services.state.kept_redis import RedisAnswers
from services.synthesis import Outcome
from services.targets.chat import ChatReply
from services.targets.stale import StaleTarget
from services.values import Answer, AttemptRecord, Declined
from tests.fakes import REPOSITORY, chat_reply, envelope_of, support
from tests.served import Served, served
from tests.services.counting import REDIS_URL, forget, need_redis, new_prefix

DAY_S = 86_400.0
GOOD = '{"reply": "Card <CARD_1> is on its way.", "intent": "out_of_scope"}'


@asynccontextmanager
async def opened(kind: str, folder: Path) -> AsyncIterator[KeptAnswers]:
    if kind == "sqlite":
        with Database(folder / "state.db") as database:
            yield DatabaseAnswers(database)
        return
    need_redis()
    prefix = new_prefix()
    answers = RedisAnswers(REDIS_URL, prefix=prefix)
    try:
        yield answers
    finally:
        await answers.close()
        await forget(prefix)


@pytest.mark.parametrize("kind", ["sqlite", "redis"])
async def test_what_is_put_is_found_until_it_is_replaced(tmp_path: Path, kind: str) -> None:
    """The same contract for both twins."""
    async with opened(kind, tmp_path) as answers:
        assert await answers.get("a") is None
        await answers.put("a", "first é", DAY_S)
        await answers.put("b", "other", DAY_S)
        await answers.put("a", "second", DAY_S)
        assert (await answers.get("a"), await answers.get("b")) == ("second", "other")
        await answers.drop("a")
        await answers.drop("a")
        assert (await answers.get("a"), await answers.get("b")) == (None, "other")


@pytest.mark.parametrize("kind", ["sqlite", "redis"])
async def test_what_is_too_old_is_gone(tmp_path: Path, kind: str) -> None:
    async with opened(kind, tmp_path) as answers:
        await answers.put("a", "x", 0.001)
        while await answers.get("a") is not None:
            pass  # a millisecond: the store's own clock decides


async def test_old_answers_leave_the_database_and_not_only_its_answers(tmp_path: Path) -> None:
    """Data that nobody may see any more must not lie there."""
    now = [datetime(2026, 1, 1, tzinfo=UTC)]
    with Database(tmp_path / "state.db") as database:
        answers = DatabaseAnswers(database, lambda: now[0])
        await answers.put("a", "remove me", 60)
        now[0] += timedelta(seconds=61)
        await answers.put("b", "x", 60)
        with database.reading() as connection:
            assert [row.value for row in connection.exec_driver_sql("SELECT value FROM kept_answers")] == [
                "x"
            ]


async def test_a_redis_that_is_away_is_an_error_of_ours_without_its_address() -> None:
    answers = RedisAnswers("redis://:password@127.0.0.1:9/0")
    for ask in (answers.get("a"), answers.put("a", "b", 1)):
        with pytest.raises(StateUnavailable, match=r"Redis.*see whether") as error:
            await ask
        assert "password" not in str(error.value)
    await answers.close()


class Remembered:
    """One kept answer for whatever key; keeps the keys that it was asked for."""

    def __init__(self, kept: str | None) -> None:
        self.kept = kept
        self.keep_s: float | None = None
        self.keys: list[str] = []

    async def get(self, key: str) -> str | None:
        self.keys.append(key)
        return self.kept

    async def put(self, key: str, value: str, keep_s: float) -> None:
        self.kept, self.keep_s = value, keep_s

    async def drop(self, key: str) -> None:
        self.kept = None


def usecase(max_age_s: float = DAY_S) -> UseCase:
    """The shipped use case, with a bound for old answers."""
    return support().model_copy(update={"stale": StaleSpec(max_age_s=max_age_s)})


def kept(age_s: float) -> str:
    return json.dumps(
        {"output": {"reply": "r", "intent": "i"}, "route": "cloud/primary", "model": "m", "at": 1e9 - age_s}
    )


@pytest.mark.parametrize(
    ("stored", "answers", "says"),
    [
        (kept(7200), True, "what cloud/primary answered to the same request 2 hours ago"),
        (kept(2 * DAY_S), False, "2 days old, and 24 hours are allowed; a newer one would have been used"),
        (None, False, "no earlier answer to this very request is kept; one would have been used"),
        ("{broken", False, "no earlier answer"),
        ('{"colour": 1}', False, "no earlier answer"),
    ],
)
async def test_an_old_answer_says_whose_it_is_and_how_old(
    stored: str | None, answers: bool, says: str
) -> None:
    target = StaleTarget(AnswerShelf(Remembered(stored), clock=lambda: 1e9))
    said = await target.answer(envelope_of(support()), usecase(), 0.0)
    assert isinstance(said, Answer if answers else Declined)
    assert says in said.reason


async def test_a_store_that_is_away_is_a_failed_attempt() -> None:
    class Away(Remembered):
        async def get(self, key: str) -> str | None:
            raise StateUnavailable("away")

    with pytest.raises(TargetFailed, match="kept answers cannot be read"):
        await StaleTarget(AnswerShelf(Away(None))).answer(envelope_of(support()), usecase(), 0.0)


async def test_tenant_request_and_version_are_all_part_of_what_is_looked_for() -> None:
    """Nothing that is merely alike is found, and nothing of another tenant."""
    store = Remembered(None)
    shelf = AnswerShelf(store)
    one = envelope_of(support())
    for envelope in (
        one,
        replace(one, tenant="other"),
        replace(one, digest="f" * 64),
        replace(one, use_case="x"),
    ):
        await shelf.find(envelope, "v1")
    await shelf.find(one, "v2")
    assert len(set(store.keys)) == 5
    await shelf.find(replace(one, id="f" * 32), "v1")
    assert store.keys[0] == store.keys[-1]


def outcome(route: str | None, *attempts: AttemptRecord) -> Outcome:
    output = {"reply": "r", "intent": "i"} if route else None
    return Outcome(route, output, "0" * 64, None, False, (), attempts, (), {"config": "v1"}, 0.0)


@pytest.mark.parametrize(
    ("tags", "keep_s"), [((), 7 * DAY_S), (("pii",), 2 * DAY_S), (("pii", "card"), None), (("card",), None)]
)
async def test_an_answer_is_kept_no_longer_than_retention_lets_the_content_of_its_tags_be(
    tags: tuple[str, ...], keep_s: float | None
) -> None:
    store = Remembered(None)
    shelf = AnswerShelf(store)
    shelf.serve({"support": Keeping(7 * DAY_S, Rule(None, {"pii": 2, "card": 0}))})
    shelf.recorded(replace(envelope_of(support()), tags=frozenset(tags)), outcome("cloud/primary"))
    await shelf.close()
    assert (store.keep_s if store.kept else None) == keep_s


@pytest.mark.parametrize(
    ("route", "attempt", "left"),
    [
        ("safe_default", AttemptRecord("cloud/primary", "refused", "for safety"), False),
        (None, AttemptRecord("cloud/primary", "refused", "for safety"), False),
        ("safe_default", AttemptRecord("cloud/primary", "failed", "timed out"), True),
        ("local", AttemptRecord("local", "answered", "sure"), True),
    ],
)
async def test_once_a_model_refuses_a_request_its_kept_answer_is_dropped(
    route: str | None, attempt: AttemptRecord, left: bool
) -> None:
    """And not because an endpoint could not be reached: for that it is kept."""
    store = Remembered(kept(0))
    shelf = AnswerShelf(store)
    shelf.serve({"support": Keeping(DAY_S)})
    shelf.recorded(envelope_of(support()), outcome(route, attempt))
    await shelf.close()
    assert (store.kept is not None) == left


@asynccontextmanager
async def with_stale(home: Path, tmp_path: Path, **settings: object) -> AsyncIterator[Served]:
    """The shipped use case with `stale` in its plan, and a local model that is unsure of everything."""
    folder = tmp_path / "usecases"
    shutil.copytree(REPOSITORY / "usecases" / "support", folder / "support")
    yaml = folder / "support" / "usecase.yaml"
    text = yaml.read_text().replace(
        "cloud, safe_default]", "cloud, stale, safe_default]\nstale: {max_age_s: 3600}"
    )
    yaml.write_text(text)
    async with served(home, 0.1, usecases_dir=folder, **settings) as app:
        app.chat.reply = chat_reply(GOOD)
        yield app


async def kept_one(app: Served) -> None:
    """Waits until an answer is in the database."""
    with Database(app.runtime.settings.state_db) as database:
        for _ in range(1000):
            with database.reading() as connection:
                if connection.exec_driver_sql("SELECT count(*) FROM kept_answers").scalar():
                    return
            await asyncio.sleep(0.005)
    raise AssertionError("nothing was kept")


async def test_when_the_cloud_is_gone_the_same_request_gets_the_last_answer_said_to_be_old(
    home: Path, tmp_path: Path
) -> None:
    """Re-identified for its own caller, whose card is another one than the first caller's."""
    async with with_stale(home, tmp_path) as app:
        first = (await app.decide("Where is card 4111 1111 1111 1111?")).json()
        assert (first["route"], first["degraded"]) == ("cloud/primary", False)
        await kept_one(app)
        app.chat.error = TargetFailed("unreachable", "cannot be reached")
        again = (await app.decide("Where is card 5500 0000 0000 0004?")).json()
        assert (again["route"], again["degraded"]) == ("stale", True)
        assert again["output"]["reply"] == "Card 5500 0000 0000 0004 is on its way."
        assert any("what cloud/primary answered to the same request" in reason for reason in again["reasons"])
        other = (await app.decide("Where is my other card?")).json()
        assert other["route"] == "safe_default"
        state = b"".join(file.read_bytes() for file in app.runtime.settings.home.glob("state.db*"))
        # whole numbers: four digits alone turn up in digests and sealed bytes by chance
        for planted in (b"4111 1111 1111 1111", b"5500 0000 0000 0004"):
            assert planted not in state
            assert planted.replace(b" ", b"") not in state


async def test_another_tenant_never_gets_it(home: Path, tmp_path: Path) -> None:
    async with with_stale(home, tmp_path) as app:
        await app.decide("Where is my card?")
        await kept_one(app)
        app.chat.error = TargetFailed("unreachable", "cannot be reached")
        app.client.headers["authorization"] = f"Bearer {app.key(tenant='other')}"
        assert (await app.decide("Where is my card?")).json()["route"] == "safe_default"


async def test_a_refusal_for_safety_is_not_answered_by_an_older_answer(home: Path, tmp_path: Path) -> None:
    """It is final: an answer that the model once gave to the same request does not go around it."""
    async with with_stale(home, tmp_path) as app:
        await app.decide("Where is my card?")
        await kept_one(app)
        app.chat.reply = ChatReply(None, "stop", True, None)
        answer = (await app.decide("Where is my card?")).json()
        assert answer["route"] == "safe_default"
        assert any(
            reason.startswith("stale: not asked: the refusal of cloud/primary is final")
            for reason in answer["reasons"]
        )


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "0 seconds"), (119, "119 seconds"), (120, "2 minutes"), (7200, "2 hours"), (200_000, "2 days")],
)
def test_ages_are_said_as_people_say_them(seconds: float, said: str) -> None:
    assert in_words(seconds) == said
