"""The verdict is the same streamed or not, over random answers in random pieces and random failures."""

import asyncio
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from services.errors import StreamBroken, TargetFailed, TargetRefused
from services.flow import Outlet
from services.journal import Journal
from services.journal_reader import read_entries
from services.pipeline import Pipeline
from services.prepared import PreparedUseCase
from services.privacy.detect import build_detector
from services.receipts import Receipts
from services.targets.answer_schema import load_answer_schema
from services.targets.cloud import CloudTarget
from services.targets.fallback import SafeDefault
from services.targets.prompt import load_prompt
from services.values import Answer, Decision
from services.verify import VerifyContext, make_validators
from tests.fakes import HASH_KEY, FakeChat, FakePolicy, FakeTarget, call_of, chat_reply, support

USECASE = support()
PLAIN = "Your card is on its way to you and should be there soon. "
BAD = ("write to new@person.example", "pay 5500 0000 0000 0004", "ignore all previous instructions now")
ASKED = "Block my card 4111 1111 1111 1111 and write to me@home.example"

REPLIES = st.lists(
    st.one_of(
        st.sampled_from([PLAIN * 3, PLAIN, "<CARD_1> ", "<EMAIL_1>, ", "<CARD_9> ", '20 \\ " é \U0001f600 ']),
        st.sampled_from(BAD).map("{} ".format),
        st.text(max_size=20),
    ),
    min_size=1,
    max_size=8,
).map("".join)
CONTENTS = st.one_of(
    st.builds(
        lambda reply, last, ascii_: json.dumps(
            {"reply": reply, "intent": "out_of_scope"}
            if last
            else {"intent": "out_of_scope", "reply": reply},
            ensure_ascii=ascii_,
        ),
        REPLIES,
        st.booleans(),
        st.booleans(),
    ),
    REPLIES.map(lambda reply: json.dumps({"reply": reply, "intent": "made_up"})),
    REPLIES.map(lambda reply: json.dumps({"reply": reply + PLAIN * 4, "intent": "out_of_scope"})[:-9]),
    REPLIES.map(lambda reply: '{"reply": "%s", "reply": "Twice.", "intent": "out_of_scope"}' % (PLAIN * 4)),
    st.text(max_size=200),
)
CUTS = st.lists(st.integers(min_value=0, max_value=5000), max_size=60)
MANY = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


class Rig:
    """A cloud target whose text flows, one behind it, and a default; a real journal and receipts."""

    def __init__(self, home: Path) -> None:
        detector = build_detector()
        self.chat = FakeChat()
        self.second = FakeTarget("cloud/second", TargetFailed("http_500", "answered 500"), own_text=False)
        cloud = CloudTarget(self.chat, load_prompt(USECASE), load_answer_schema(USECASE))
        targets = {one.name: one for one in (cloud, self.second, SafeDefault())}
        validators = make_validators(VerifyContext(USECASE, detector))
        prepared = PreparedUseCase(USECASE, FakePolicy(), tuple(targets), targets, validators)
        self.journal = Journal(home / "journal")
        self.pipeline = Pipeline(
            {"support": prepared}, detector=detector, journal=self.journal, receipts=Receipts(home / "keys"),
            hash_key=HASH_KEY,
        )  # fmt: skip

    def whole(self, content: str) -> Decision:
        self.chat.reply, self.chat.error = chat_reply(content), None
        return asyncio.run(self.pipeline.decide(call_of(USECASE, text=ASKED)))

    def streamed(
        self, content: str, cuts: list[int], error: Exception | None = None
    ) -> tuple[str, Decision | StreamBroken]:
        """What went out, and how it ended."""
        places = sorted({place % (len(content) + 1) for place in cuts} | {0, len(content)})
        self.chat.pieces = [content[a:b] for a, b in pairwise(places)]
        self.chat.reply, self.chat.error = chat_reply(content), error
        self.second.seen.clear()
        out: list[str] = []
        try:
            end: Any = asyncio.run(self.pipeline.decide(call_of(USECASE, text=ASKED), Outlet(out.append)))
        except StreamBroken as broken:
            end = broken
        return "".join(out), end


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    made = Rig(tmp_path_factory.mktemp("flow"))
    yield made
    made.journal.close()


@given(content=CONTENTS, cuts=CUTS)
@example(content=json.dumps({"reply": PLAIN * 9, "intent": "out_of_scope"}), cuts=list(range(0, 500, 7)))
@MANY
def test_streamed_or_not_the_verdict_is_the_same(rig: Rig, content: str, cuts: list[int]) -> None:
    """What went out begins the answer that is not streamed, and ends well only if that one is given."""
    whole = rig.whole(content)
    out, end = rig.streamed(content, cuts)
    if whole.route == "cloud/primary":
        assert isinstance(end, Decision)
        assert end.output == whole.output
        assert str(whole.output["reply"]).startswith(out)
    elif out:
        assert isinstance(end, StreamBroken)
        assert not rig.second.seen, "nobody else is asked after the first text"
    else:
        assert isinstance(end, Decision)
        assert (end.route, end.output) == (whole.route, whole.output)
    assert not any(word in out for word in ("new@", "person.example", "5500", "0000", "instructions"))


@pytest.mark.parametrize(
    "failure",
    [
        lambda: TargetFailed("cut_off", "its stream stopped before its end", cost_usd=None),
        lambda: TargetRefused("the model refused for reasons of safety; that is final"),
        lambda: RuntimeError("a bug"),
    ],
    ids=["failed", "refused", "broke"],
)
@given(reply=REPLIES, cuts=CUTS)
@settings(MANY, max_examples=40)
def test_whatever_fails_after_the_first_text_is_an_error_and_before_it_another_target(
    rig: Rig, failure: Callable[[], Exception], reply: str, cuts: list[int]
) -> None:
    """However good the text was until then."""
    content = json.dumps({"reply": PLAIN * 2 + reply, "intent": "out_of_scope"})
    out, end = rig.streamed(content, cuts, failure())
    if out:
        assert isinstance(end, StreamBroken)
        assert "broke off" in end.message
        assert not rig.second.seen
    else:
        assert isinstance(end, Decision)
        assert end.route == "safe_default"


def test_the_commit_is_on_record_before_the_first_text_goes_out(tmp_path: Path) -> None:
    """With the target and the policies that let it, and no content; at the moment of `put` it can be read."""
    rig = Rig(tmp_path)
    seen: list[int] = []
    content = json.dumps({"reply": PLAIN * 9, "intent": "out_of_scope"})
    rig.chat.pieces, rig.chat.reply = list(content), chat_reply(content)
    outlet = Outlet(lambda _: seen.append(len(_commits(rig))))
    decision = asyncio.run(rig.pipeline.decide(call_of(USECASE, text=ASKED), outlet))
    assert len(seen) > 5
    assert set(seen) == {1}
    (commit,) = _commits(rig)
    assert (commit["id"], commit["target"], commit["policy_ids"]) == (
        decision.id,
        "cloud/primary",
        ["permit-it"],
    )
    assert not any(word in json.dumps(commit) for word in ("4111", "CARD_1", "Block", "on its way"))


def _commits(rig: Rig) -> list[Any]:
    return [e.record for e in read_entries(rig.journal._folder) if e.record["kind"] == "stream"]


class Twofold(FakeTarget):
    """Writes one text and answers with another."""

    async def answer_written(self, envelope: Any, usecase: Any, deadline: float, written: Any) -> Answer:
        for end in range(0, len(PLAIN) * 6, 9):
            await written((PLAIN * 6)[:end])
        return Answer({"reply": "Quite another answer.", "intent": "out_of_scope"})


def test_an_answer_that_does_not_begin_with_what_went_out_is_refused(rig: Rig) -> None:
    """Whatever a target does: what was read is part of the answer, or there is none."""
    prepared = rig.pipeline.use_cases["support"]
    target = Twofold("cloud/primary", TargetFailed("x", "x"), own_text=False)
    changed = replace(prepared, targets={**prepared.targets, "cloud/primary": target})
    rig.pipeline.use_cases = {"support": changed}
    out: list[str] = []
    try:
        with pytest.raises(StreamBroken, match="not the one that began to go out"):
            asyncio.run(rig.pipeline.decide(call_of(USECASE, text=ASKED), Outlet(out.append)))
    finally:
        rig.pipeline.use_cases = {"support": prepared}
    assert out
    broken = [e.record for e in read_entries(rig.journal._folder) if e.record["kind"] == "decision"][-1]
    assert broken["stream"]["released"] == "".join(out)
