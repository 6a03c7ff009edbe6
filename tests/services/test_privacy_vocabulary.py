"""Residency and purpose are words of a closed list: what a caller makes up is refused, and kept nowhere."""

from dataclasses import replace
from pathlib import Path

import pytest

from services.errors import InputError
from services.journal import Journal
from services.pipeline import Pipeline
from services.policy import AccessPolicy
from services.prepare import prepare
from services.privacy.vocabulary import Vocabulary
from services.receipts import Receipts
from services.values import Context
from tests.fakes import HASH_KEY, FakeChat, FakeLocalModel, call_of, support
from tests.served import all_bytes
from tests.services.privacy_help import the_detector

PLANTED = ("DE89370400440532013000", "ines_calder", "inescalder", "AKIAIOSFODNN7EXAMPLE", "hunter2", "x" * 32)


def shipped(home: Path, region: str = "us") -> Pipeline:
    """The shipped use case with its real policy."""
    usecase = support()
    prepared = prepare(
        usecase, policy=AccessPolicy.load(usecase), detector=the_detector(),
        local=FakeLocalModel("card_arrival", 0.3), endpoints={"primary": FakeChat(region=region)},
    )  # fmt: skip
    return Pipeline(
        {"support": prepared}, detector=the_detector(), journal=Journal(home / "journal"),
        receipts=Receipts(home / "keys"), hash_key=HASH_KEY,
    )  # fmt: skip


@pytest.mark.parametrize("field", ["residency", "purpose"])
@pytest.mark.parametrize("planted", PLANTED)
async def test_a_word_that_nobody_knows_is_refused_and_kept_nowhere(
    tmp_path: Path, field: str, planted: str
) -> None:
    running = shipped(tmp_path)
    call = replace(call_of(support(), text="where is it?"), context=replace(Context(), **{field: planted}))  # type: ignore[arg-type]  # each test names its own field
    with pytest.raises(InputError) as caught:
        await running.decide(call)
    assert caught.value.field == f"context.{field}"
    assert caught.value.message.startswith(f"context.{field}: expected ")
    assert planted.lower() not in caught.value.message.lower()
    assert planted.lower().encode() not in all_bytes(tmp_path).lower()


@pytest.mark.parametrize(
    "context",
    [
        Context(residency="BR"),  # no target is there, so it stays on premises
        Context(residency="eu-west-1"),  # an endpoint's region
        Context(purpose="Marketing"),  # the policy speaks of it
        Context(),
    ],
)
async def test_words_that_policy_or_targets_know_are_asked_of_policy(
    tmp_path: Path, context: Context
) -> None:
    call = replace(call_of(support(), text="where is it?"), context=context)
    decision = await shipped(tmp_path, region="EU-West-1").decide(call)
    away = context.residency == "BR" or context.purpose == "Marketing"
    assert (decision.route == "cloud/primary") is not away


def test_a_refusal_names_the_words_that_are_allowed() -> None:
    vocabulary = Vocabulary(frozenset({"eu-west-1"}), frozenset({"marketing"}))
    with pytest.raises(InputError, match=r"expected a country's two letters, eu, eu-west-1$"):
        vocabulary.residency("mars")
    with pytest.raises(InputError, match=r"expected one of marketing, service: the words of this use case's"):
        vocabulary.purpose("research")
