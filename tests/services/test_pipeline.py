"""One request, whole: what answers, what is recorded, what the caller is told, and what it never does."""

import asyncio
import json
import logging
import time

import pytest

from services.errors import JournalUnavailable, NotFound, NothingMayAnswer, TargetFailed, TargetRefused
from services.journal import Journal
from services.journal_reader import find_decision, journal_files, read_entries
from services.pipeline import Pipeline
from services.prepared import PreparedUseCase, nothing_is_closed
from services.receipt_check import verify_receipt
from services.receipt_keys import public_jwks
from services.receipts import Receipts
from services.targets.fallback import SafeDefault
from services.values import Answer, Declined, Verdict
from services.verify import VerifyContext, make_validators
from tests.fakes import HASH_KEY, FakeDetector, FakePolicy, FakeTarget, call_of, support

CARD = "4111 1111 1111 1111"
GOOD = {"reply": "An answer.", "intent": "card_arrival"}


class Rig:
    """A pipeline with a real journal and receipts in a temporary home, and whatever targets a test wants."""

    def __init__(self, home, *targets, policy=None, detector=None, missing=None, closed=None, observers=()):
        self.home = home
        self.usecase = support()
        self.policy = policy or FakePolicy()
        detector = detector or FakeDetector()
        everything = {target.name: target for target in (*targets, SafeDefault())}
        prepared = PreparedUseCase(
            usecase=self.usecase,
            policy=self.policy,
            order=(*(missing or {}), *everything),
            targets=everything,
            validators=make_validators(VerifyContext(self.usecase, detector)),
            missing=missing or {},
            closed=closed or nothing_is_closed,
        )
        self.journal = Journal(home / "journal")
        self.pipeline = Pipeline(
            {"support": prepared}, detector=detector, journal=self.journal, receipts=Receipts(home / "keys"),
            hash_key=HASH_KEY, observers=observers,
        )  # fmt: skip

    async def decide(self, within_s=5.0, **fields):
        return await self.pipeline.decide(call_of(self.usecase, within_s=within_s, **fields))

    def record(self, decision):
        return find_decision(journal_files(self.home / "journal"), decision.id).record

    def records(self):
        return [entry.record for entry in read_entries(self.home / "journal")]


async def test_the_first_target_that_answers_gives_the_answer(tmp_path):
    local = FakeTarget("local", Answer(GOOD, 0.9, "confidence 0.90 is at least 0.83", model="d" * 64))
    cloud = FakeTarget("cloud/primary", Answer(GOOD))
    rig = Rig(tmp_path, FakeTarget("rules", Declined("no rule matched")), local, cloud)
    decision = await rig.decide()
    assert (decision.route, decision.confidence, decision.degraded) == ("local", 0.9, False)
    assert decision.output == GOOD
    assert decision.reasons == (
        "rules: no rule matched; else its answer would have been used",
        "local: confidence 0.90 is at least 0.83; else cloud/primary would have been asked",
    )
    assert decision.versions == {"config": rig.usecase.version, "model": "d" * 64}
    assert cloud.seen == []


async def test_every_answer_is_in_the_journal_before_it_is_returned(tmp_path):
    rig = Rig(tmp_path, FakeTarget("local", Answer(GOOD)))
    for _ in range(20):
        decision = await rig.decide()
        record = rig.record(decision)
        assert record["output"] == GOOD
        assert record["route"] == "local"


async def test_without_a_record_there_is_no_answer(tmp_path):
    rig = Rig(tmp_path, FakeTarget("local", Answer(GOOD)))
    (tmp_path / "journal").write_text("a file where the folder should be")
    with pytest.raises(JournalUnavailable) as raised:
        await rig.decide()
    assert raised.value.status == 503


async def test_every_answer_has_a_receipt_that_verifies_and_points_to_its_record(tmp_path):
    rig = Rig(
        tmp_path, FakeTarget("rules", Declined("no")), FakeTarget("local", Answer(GOOD, model="d" * 64))
    )
    decision = await rig.decide()
    claims = verify_receipt(decision.receipt, public_jwks(tmp_path / "keys"))
    entry = find_decision(journal_files(tmp_path / "journal"), decision.id)
    assert claims["id"] == decision.id
    assert claims["journal"] == {"file": entry.file, "seq": entry.record["seq"], "hash": entry.hash}
    assert [(a["target"], a["outcome"]) for a in claims["attempts"]] == [
        ("rules", "declined"),
        ("local", "answered"),
    ]
    assert claims["attempts"][1]["model"] == "d" * 64


async def test_raw_personal_data_reaches_no_target_record_or_receipt_and_comes_back_to_its_caller(tmp_path):
    cloud = FakeTarget("cloud/primary", Answer({"reply": "About <CARD_1>: done.", "intent": "card_arrival"}))
    rig = Rig(tmp_path, cloud, detector=FakeDetector({CARD: "card"}))
    decision = await rig.decide(text=f"My card {CARD} is lost")
    assert decision.output["reply"] == f"About {CARD}: done."
    assert cloud.seen[0].fields["text"] == "My card <CARD_1> is lost"
    assert "pii_card" in cloud.seen[0].tags
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert files
    # the whole number: four digits alone turn up in digests by chance
    planted = (CARD.encode(), CARD.replace(" ", "").encode())
    assert not [file for file in files if any(number in file.read_bytes() for number in planted)]
    claims = verify_receipt(decision.receipt, public_jwks(tmp_path / "keys"))
    assert not [number for number in planted if number.decode() in json.dumps(claims)]
    assert claims["answer"]["redacted"] is True


async def test_nothing_goes_to_a_target_that_policy_denies(tmp_path):
    cloud = FakeTarget("cloud/primary", Answer(GOOD))
    rig = Rig(tmp_path, cloud, policy=FakePolicy(denied=["cloud/primary"]))
    decision = await rig.decide()
    assert cloud.seen == []
    assert decision.route == "safe_default"
    (denied, _) = rig.record(decision)["attempts"]
    assert (denied["outcome"], denied["policy_ids"]) == ("denied", ["forbid-it"])


async def test_a_policy_that_fails_means_no(tmp_path):
    cloud = FakeTarget("cloud/primary", Answer(GOOD))
    rig = Rig(tmp_path, cloud, policy=FakePolicy(error=RuntimeError("boom")))
    decision = await rig.decide()
    assert cloud.seen == []
    assert decision.route == "safe_default"


async def test_policy_is_asked_again_right_before_each_attempt(tmp_path):
    class ChangesItsMind(FakePolicy):
        def verdict(self, question):
            verdict = super().verdict(question)
            asked = sum(q.target == question.target for q in self.questions)
            return Verdict(False, ("changed",), "no more") if asked > 1 else verdict

    cloud = FakeTarget("cloud/primary", Answer(GOOD))
    rig = Rig(tmp_path, cloud, policy=ChangesItsMind())
    decision = await rig.decide()
    assert cloud.seen == []
    assert rig.record(decision)["attempts"][0]["policy_ids"] == ["changed"]


async def test_policy_hears_where_a_target_stands_and_what_the_data_is(tmp_path):
    cloud = FakeTarget("cloud/eu", Answer(GOOD), on_premises=False, region="eu", attested=True)
    rig = Rig(tmp_path, cloud, detector=FakeDetector({CARD: "card"}))
    await rig.decide(text=CARD)
    question = rig.policy.questions[0]
    assert (question.target, question.region, question.on_premises, question.attested) == (
        "cloud/eu", "eu", False, True,
    )  # fmt: skip
    assert question.tenant == "acme"
    assert {"user_content", "pii_card"} <= question.tags


async def test_the_safe_default_needs_no_permission_since_it_gets_nothing(tmp_path):
    rig = Rig(tmp_path, policy=FakePolicy(denied=["safe_default"]))
    decision = await rig.decide()
    assert decision.route == "safe_default"
    assert rig.policy.questions == []


@pytest.mark.parametrize(
    "failure",
    [TargetFailed("http_500", "answered 500"), ValueError("secret content"), TimeoutError()],
    ids=["failed", "bug", "timed out inside"],
)
async def test_a_failing_target_costs_its_answer_and_never_the_request(tmp_path, failure):
    rig = Rig(tmp_path, FakeTarget("cloud/primary", failure), FakeTarget("cloud/secondary", Answer(GOOD)))
    decision = await rig.decide()
    assert (decision.route, decision.degraded) == ("cloud/secondary", True)
    assert decision.reasons[0].startswith("cloud/primary: ")


async def test_what_a_broken_target_says_is_neither_told_nor_logged(tmp_path, caplog):
    rig = Rig(tmp_path, FakeTarget("cloud/primary", ValueError("secret content")))
    with caplog.at_level(logging.DEBUG):
        decision = await rig.decide()
    assert "secret content" not in caplog.text
    assert "secret content" not in json.dumps(rig.record(decision))
    assert decision.reasons[0].startswith("cloud/primary: broke with ValueError; ")


async def test_a_decline_is_routing_at_work_and_no_degradation(tmp_path):
    rig = Rig(
        tmp_path, FakeTarget("local", Declined("confidence 0.71 < 0.83")), FakeTarget("cloud/a", Answer(GOOD))
    )
    decision = await rig.decide()
    assert (decision.route, decision.degraded) == ("cloud/a", False)


async def test_a_missing_local_model_or_an_open_breaker_degrades_and_says_so(tmp_path):
    rig = Rig(tmp_path, FakeTarget("cloud/a", Answer(GOOD)), missing={"local": "no local model; train one"})
    decision = await rig.decide()
    assert (decision.route, decision.degraded) == ("cloud/a", True)
    assert decision.reasons[0] == "local: no local model; train one; else it would have been asked"
    rig = Rig(tmp_path, FakeTarget("cloud/a", Answer(GOOD)), FakeTarget("cloud/b", Answer(GOOD)),
              closed=lambda name, _: "its breaker is open" if name == "cloud/a" else None)  # fmt: skip
    decision = await rig.decide()
    assert (decision.route, decision.degraded) == ("cloud/b", True)
    assert decision.reasons[0].startswith("cloud/a: its breaker is open; ")


async def test_the_safe_default_is_always_a_degraded_answer(tmp_path):
    decision = await Rig(tmp_path, FakeTarget("local", Declined("unsure"))).decide()
    assert (decision.route, decision.degraded) == ("safe_default", True)
    assert decision.output == support().safe_default


async def test_a_refusal_for_safety_is_never_routed_around(tmp_path):
    second = FakeTarget("cloud/secondary", Answer(GOOD))
    rig = Rig(
        tmp_path, FakeTarget("cloud/primary", TargetRefused("the model refused", cost_usd=0.01)), second
    )
    decision = await rig.decide()
    assert second.seen == []
    assert decision.route == "safe_default"
    assert [a["outcome"] for a in rig.record(decision)["attempts"]] == ["refused", "skipped", "answered"]


async def test_a_refused_answer_goes_on_to_the_next_target_and_is_not_patched(tmp_path):
    wrong = FakeTarget("cloud/a", Answer({"reply": "x" * 3000, "intent": "card_arrival"}), own_text=False)
    rig = Rig(tmp_path, wrong, FakeTarget("cloud/b", Answer(GOOD)))
    decision = await rig.decide()
    assert decision.output == GOOD
    assert rig.record(decision)["attempts"][0]["outcome"] == "refused"
    assert "output_schema" in decision.reasons[0]


async def test_the_record_names_the_validators_that_the_answer_passed(tmp_path):
    local = Rig(tmp_path, FakeTarget("local", Answer(GOOD)))
    assert local.record(await local.decide())["validators"] == ["output_schema"]
    cloud = Rig(tmp_path, FakeTarget("cloud/a", Answer(GOOD), own_text=False))
    assert cloud.record(await cloud.decide())["validators"] == ["output_schema", "no_new_pii", "no_injection"]


async def test_a_target_that_hangs_is_cut_off_at_the_deadline_and_the_default_answers(tmp_path):
    class Hangs(FakeTarget):
        async def answer(self, envelope, usecase, deadline):
            await asyncio.Event().wait()

    rig = Rig(tmp_path, Hangs("cloud/a", Answer(GOOD)), FakeTarget("cloud/b", Answer(GOOD)))
    started = time.monotonic()
    decision = await rig.decide(within_s=0.05)
    assert time.monotonic() - started < 1
    assert decision.route == "safe_default"
    assert [a["outcome"] for a in rig.record(decision)["attempts"]] == ["failed", "skipped", "answered"]


async def test_costs_of_failed_attempts_count_and_an_unknown_cost_makes_the_sum_unknown(tmp_path):
    answer = Answer(GOOD, cost_usd=0.002)
    rig = Rig(
        tmp_path, FakeTarget("cloud/a", TargetFailed("x", "x", cost_usd=0.001)), FakeTarget("cloud/b", answer)
    )
    assert rig.record(await rig.decide())["cost_usd"] == pytest.approx(0.003)
    rig = Rig(
        tmp_path, FakeTarget("cloud/a", TargetFailed("x", "x", cost_usd=None)), FakeTarget("cloud/b", answer)
    )
    assert rig.record(await rig.decide())["cost_usd"] is None


async def test_when_nothing_may_answer_the_caller_gets_503_and_the_journal_a_record(tmp_path):
    rig = Rig(tmp_path, FakeTarget("local", Declined("unsure")))
    prepared = rig.pipeline.use_cases["support"]
    only_local = PreparedUseCase(
        prepared.usecase, prepared.policy, ("local",), prepared.targets, prepared.validators
    )
    rig.pipeline.use_cases = {"support": only_local}
    with pytest.raises(NothingMayAnswer) as raised:
        await rig.decide()
    assert raised.value.status == 503
    assert raised.value.reasons == ("local: unsure; else its answer would have been used",)
    assert [record["route"] for record in rig.records()] == [None]


async def test_an_unknown_use_case_is_not_found_and_the_known_ones_are_named(tmp_path):
    rig = Rig(tmp_path)
    rig.pipeline.use_cases = {}
    with pytest.raises(NotFound, match="known: none"):
        await rig.decide()


async def test_observers_are_told_after_the_record_and_cannot_break_an_answer(tmp_path):
    told = []

    def broken(envelope, outcome):
        raise RuntimeError("boom")

    rig = Rig(
        tmp_path,
        FakeTarget("local", Answer(GOOD)),
        observers=[broken, lambda e, o: told.append((e.id, o.route))],
    )
    decision = await rig.decide()
    await asyncio.sleep(0)
    assert told == [(decision.id, "local")]
