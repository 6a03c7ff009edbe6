"""The review queue, in SQLite and in a real PostgreSQL alike."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from services.feedback import Truth
from services.reviews import SAMPLED, ReviewItem, Wanted
from services.state.database import REVIEWS
from services.state.reviews import ReviewStore
from tests.services.evidence.made import KINDS, opened

NOW, LATER, MUCH_LATER = (f"2026-01-01T0{hour}:00:00+00:00" for hour in (1, 2, 3))
RIGHT, WRONG = Truth(True, "a"), Truth(False, "b")


def item(name: str, rank: int = 2, sampled: bool = False, **changes: Any) -> ReviewItem:
    found = Wanted(name, (SAMPLED,) if sampled else ("low_confidence",), rank, 0.5)
    made = ReviewItem(
        found, f"d-{name}", "acme", "any", '{"text":"<CARD_1>"}', '{"l":"a"}', "local", "a", 1, NOW, None
    )
    return replace(made, **changes)


@pytest.fixture(params=KINDS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ReviewStore]:
    with opened(request.param, tmp_path, REVIEWS) as database:
        yield ReviewStore(database)


def ids(store: ReviewStore, source: str = "r1", tenant: str = "acme", now: str = LATER) -> list[str]:
    return [one.id for one in store.waiting(tenant, source, None, now, 100)]


def test_the_most_valuable_comes_first_and_a_repeat_is_counted(store: ReviewStore) -> None:
    for one in (item("low"), item("high", 8), item("often"), item("often", decision_id="d-2")):
        store.enqueue(one, 10)
    assert ids(store) == ["high", "often", "low"]
    assert store.tallies("any") == {"enqueued": 3, "repeated": 1, "waiting": 3}


def test_a_full_queue_drops_the_least_valuable_and_counts_it(store: ReviewStore) -> None:
    """The newcomer itself, if that is the one."""
    for one in (item("a", 4), item("b", 2), item("c", 8)):
        done = store.enqueue(one, 2)
    assert (done.dropped, done.waiting) == (1, 2)
    assert ids(store) == ["c", "a"]
    assert store.enqueue(item("d", 1), 2).dropped == 1
    assert ids(store) == ["c", "a"]
    assert store.tallies("any")["dropped"] == 2


def test_what_a_reviewer_holds_is_not_dropped(store: ReviewStore) -> None:
    store.enqueue(item("a", 1), 1)
    assert store.take("acme", "r1", None, "a", NOW, LATER) is not None
    store.enqueue(item("b", 8), 1)
    assert ids(store) == ["a"]


def test_a_tenant_cannot_push_out_or_see_anothers(store: ReviewStore) -> None:
    store.enqueue(item("a", 1), 1)
    store.enqueue(item("x", 8, tenant="globex"), 1)
    assert (ids(store), ids(store, tenant="globex")) == (["a"], ["x"])
    assert store.find("globex", "a", NOW) is None
    assert store.take("globex", "r1", None, "a", NOW, LATER) is None
    assert store.vote("globex", "r1", "a", RIGHT, NOW) is None
    assert not store.release("globex", "r1", "a")


def test_a_lease_keeps_others_out_until_it_ends(store: ReviewStore) -> None:
    store.enqueue(item("a"), 10)
    assert store.take("acme", "r1", None, None, NOW, LATER) is not None
    assert store.take("acme", "r2", None, None, NOW, LATER) is None
    assert store.vote("acme", "r2", "a", RIGHT, NOW) is None
    assert not store.release("acme", "r2", "a")
    assert store.take("acme", "r2", None, None, LATER, MUCH_LATER) is not None  # r1's time was over
    assert store.vote("acme", "r1", "a", RIGHT, LATER) is None
    assert store.release("acme", "r2", "a")
    assert store.take("acme", "r1", None, None, LATER, MUCH_LATER) is not None


def test_one_item_goes_to_one_of_many_reviewers_at_once(store: ReviewStore) -> None:
    for n in range(4):
        store.enqueue(item(f"i{n}"), 10)
    with ThreadPoolExecutor(4) as pool:
        taken = list(pool.map(lambda n: store.take("acme", f"r{n}", None, None, NOW, LATER), range(4)))
    assert len({one.id for one in taken if one}) == 4


def test_a_word_resolves_it_and_takes_its_contents_out(store: ReviewStore) -> None:
    store.enqueue(item("a"), 10)
    voted = store.vote("acme", "r1", "a", WRONG, LATER)
    assert voted is not None
    assert (voted.resolved, voted.corrected, voted.seconds, voted.waiting) == (True, True, 3600.0, 0)
    assert store.find("acme", "a", LATER) is None
    assert store.vote("acme", "r2", "a", RIGHT, LATER) is None
    assert store.tallies("any") == {"enqueued": 1, "resolved": 1, "corrected": 1, "waiting": 0}
    store.enqueue(item("a"), 10)  # the same request again: known already
    assert ids(store) == []


def test_two_reviewers_must_agree_where_it_is_asked_for(store: ReviewStore) -> None:
    """One's own word does not count twice; a third decides where two differ."""
    store.enqueue(item("a", agreement=2), 10)
    first = store.vote("acme", "r1", "a", RIGHT, NOW)
    assert first is not None
    assert not first.resolved
    assert store.vote("acme", "r1", "a", RIGHT, NOW) is None
    assert (ids(store, "r1"), ids(store, "r2")) == ([], ["a"])
    second = store.vote("acme", "r2", "a", WRONG, NOW)
    assert second is not None
    assert not second.resolved
    third = store.vote("acme", "r3", "a", RIGHT, NOW)
    assert third is not None
    assert (third.resolved, third.corrected) == (True, False)


def test_two_who_agree_at_once_resolve_it(store: ReviewStore) -> None:
    """Neither misses the other's word, whichever came first."""
    for n in range(5):
        store.enqueue(item(f"i{n}", agreement=2), 10)
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda r, n=n: store.vote("acme", r, f"i{n}", RIGHT, NOW), ("r1", "r2")))
    assert store.tallies("any")["resolved"] == 5


def test_contents_go_when_retention_says_so(store: ReviewStore) -> None:
    """Not shown a moment later, deleted with the next item, and counted."""
    store.enqueue(item("a", expires_at=LATER), 10)
    assert (ids(store, now=NOW), ids(store, now=LATER)) == (["a"], [])
    assert store.find("acme", "a", LATER) is None
    store.enqueue(item("b", at=LATER), 10)
    assert store.tallies("any") == {"enqueued": 2, "expired": 1, "waiting": 1}
