"""The local target: accepted above its threshold only, and always able to say what would have changed it."""

from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from feature_checks.usecase import load_usecase
from registry.records import Acceptance, Contribution, Deferred, ModelRef
from services.errors import ConfigError, TargetFailed
from services.reason_sentences import DEFERRING, NOTHING, reason_sentences
from services.targets.local import InProcessModel, LocalTarget
from services.targets.templates import load_templates
from services.values import Answer, Declined
from tests.fakes import FakeLocalModel, FakePredictor, envelope_of, support

REF = ModelRef("m", 3, "e" * 64)
ACCEPTANCE = Acceptance(threshold=0.8, max_error=0.02, confidence=0.95, method="exact")
USECASE = support()
TEMPLATES = load_templates(USECASE)


async def ask(model, templates=TEMPLATES, **fields):
    target = LocalTarget(USECASE, model, templates)
    return await target.answer(envelope_of(USECASE, **fields), USECASE, 0.0)


async def test_above_the_threshold_it_answers_with_the_approved_text_of_its_label():
    answer = await ask(FakeLocalModel("card_arrival", 0.93, 0.83))
    assert answer == Answer(
        {"intent": "card_arrival", "reply": TEMPLATES["reply"]["card_arrival"]},
        0.93, "confidence 0.93 is at least 0.83", 0.0, "d" * 64,
    )  # fmt: skip


async def test_exactly_at_the_threshold_it_answers():
    assert isinstance(await ask(FakeLocalModel("card_arrival", 0.83, 0.83)), Answer)


@pytest.mark.parametrize(
    ("confidence", "threshold", "reason"),
    [
        (0.71, 0.83, "confidence 0.71 < 0.83; at 0.83 the local answer would have been used"),
        (0.8299, 0.83, "confidence 0.8299 < 0.83; at 0.83 the local answer would have been used"),
        (0.999, 1.5, "this model may answer nothing by itself: its risk promise could not be met"),
    ],
)
async def test_below_it_declines_and_says_what_would_have_changed_it(confidence, threshold, reason):
    declined = await ask(FakeLocalModel("card_arrival", confidence, threshold))
    assert (declined.reason, declined.confidence) == (reason, confidence)
    assert (declined.label, declined.model) == ("card_arrival", "d" * 64)


def scored(confidence, relaxed, max_error=0.02):
    model = FakeLocalModel("card_arrival", confidence, 0.83)
    model.scored = replace(model.scored, max_error=max_error, relaxed=relaxed)
    return model


async def ask_when(short, model, usecase=USECASE):
    target = LocalTarget(usecase, model, TEMPLATES, lambda envelope: short)
    return await target.answer(envelope_of(usecase), usecase, 0.0)


async def test_while_the_budget_is_short_the_relaxed_threshold_counts_and_the_reason_says_its_promise():
    answer = await ask_when(True, scored(0.71, (0.66, 0.05)))
    assert answer.reason == (
        "confidence 0.71 is at least 0.66, enough while the cloud budget is short (at most 5.0% wrong); "
        "with more budget 0.83 would be asked for"
    )
    sure = await ask_when(True, scored(0.9, (0.66, 0.05)))
    assert sure.reason == "confidence 0.90 is at least 0.83"
    declined = await ask_when(True, scored(0.6, (0.66, 0.05)))
    assert declined.reason == "confidence 0.60 < 0.66; at 0.66 the local answer would have been used"


@pytest.mark.parametrize(("short", "relaxed"), [(False, (0.66, 0.05)), (True, None)])
async def test_with_money_left_or_without_a_relaxed_promise_nothing_is_relaxed(short, relaxed):
    declined = await ask_when(short, scored(0.71, relaxed))
    assert declined.reason == "confidence 0.71 < 0.83; at 0.83 the local answer would have been used"


@pytest.mark.parametrize(
    ("max_error", "relaxed"), [(0.03, None), (0.02, (0.5, 0.2))], ids=["promise", "relaxed promise"]
)
async def test_a_model_with_a_weaker_promise_than_the_use_case_makes_answers_nothing(max_error, relaxed):
    """usecase.yaml was made stricter after training: its threshold proves nothing any more."""
    declined = await ask_when(True, scored(0.99, relaxed, max_error))
    assert isinstance(declined, Declined)
    assert "trained again, it would be asked" in declined.reason


async def test_a_label_without_an_approved_text_is_declined():
    texts = {"reply": {k: v for k, v in TEMPLATES["reply"].items() if k != "card_arrival"}}
    declined = await ask(FakeLocalModel("card_arrival"), texts)
    assert declined.reason == "there is no approved reply for label 'card_arrival'"
    assert (declined.confidence, declined.label) == (0.99, "card_arrival")


@pytest.mark.parametrize("confidence", [float("nan"), float("inf"), -0.1, 1.1])
async def test_a_confidence_that_is_none_fails(confidence):
    with pytest.raises(TargetFailed) as raised:
        await ask(FakeLocalModel("card_arrival", confidence))
    assert raised.value.kind == "bad_score"


async def test_a_threshold_that_is_no_number_accepts_nothing():
    with pytest.raises(TargetFailed):
        await ask(FakeLocalModel("card_arrival", 0.99, float("nan")))


@pytest.mark.parametrize("label", ["made_up", "out_of_scope", ""])
async def test_a_label_that_is_not_the_use_cases_fails_and_is_not_repeated(label):
    with pytest.raises(TargetFailed) as raised:
        await ask(FakeLocalModel(label))
    assert raised.value.kind == "unknown_label"
    assert "made_up" not in raised.value.message


async def test_a_model_that_breaks_fails_without_its_words(caplog):
    with pytest.raises(TargetFailed) as raised:
        await ask(FakeLocalModel("card_arrival", error=ValueError("input was SECRET")))
    assert raised.value.message == "the local model broke with ValueError"
    assert raised.value.__cause__ is None
    assert "SECRET" not in caplog.text


async def test_a_model_says_itself_why_it_cannot_answer():
    with pytest.raises(TargetFailed, match="no model is placed"):
        await ask(FakeLocalModel("card_arrival", error=TargetFailed("no_model", "no model is placed")))


@dataclass
class Loaded:
    """As much of `registry.loading.LoadedModel` as is used."""

    predictor: FakePredictor
    ref: ModelRef = REF
    acceptance: Acceptance = ACCEPTANCE


async def test_a_model_in_this_process_gives_its_own_threshold_and_digest_and_can_be_replaced():
    predictor = FakePredictor(["card_arrival"], "card_arrival", 0.9)
    model = InProcessModel(Loaded(predictor))
    answer = await ask(model, text="where is it")
    assert (answer.model, answer.confidence) == ("e" * 64, 0.9)
    assert predictor.seen == [{"text": "where is it"}]
    model.loaded = Loaded(
        predictor, ModelRef("m", 4, "f" * 64), ACCEPTANCE.model_copy(update={"threshold": 0.95})
    )
    assert (
        await ask(model)
    ).reason == "confidence 0.90 < 0.95; at 0.95 the local answer would have been used"


def with_output(usecase, **fields):
    spec = usecase.output["intent"]
    output = {**usecase.output, **{n: spec.model_copy(update=change) for n, change in fields.items()}}
    return usecase.model_copy(update={"output": output})


async def test_a_numeric_field_named_score_gets_the_confidence():
    usecase = with_output(USECASE, score={"type": "number", "values": None})
    target = LocalTarget(usecase, FakeLocalModel("card_arrival", 0.9), TEMPLATES)
    answer = await target.answer(envelope_of(usecase), usecase, 0.0)
    assert answer.output["score"] == 0.9


def test_an_output_that_a_local_answer_cannot_fill_is_refused_at_start():
    usecase = with_output(USECASE, advice={"type": "string", "values": None})
    with pytest.raises(ConfigError, match="cannot fill output advice"):
        LocalTarget(usecase, FakeLocalModel("card_arrival"), TEMPLATES)
    optional = with_output(USECASE, advice={"type": "string", "values": None, "required": False})
    LocalTarget(optional, FakeLocalModel("card_arrival"), TEMPLATES)


async def test_where_deferral_is_learned_the_reason_says_the_models_own_confidence_and_what_lowered_it():
    model = FakeLocalModel("card_arrival", 0.71, 0.83)
    lowered = (Contribution("agree_of_15", 0.2, -1.1), Contribution("field.amount", 5.0, -0.1))
    model.scored = replace(model.scored, deferred=Deferred(0.95, lowered))
    declined = await ask(model)
    assert declined.reason == (
        "confidence 0.71 (learned; the model's own is 0.95; less, since 20% of the 15 nearest known messages "
        "have this label and of its amount) < 0.83; at 0.83 the local answer would have been used"
    )
    model.scored = replace(model.scored, confidence=0.9, deferred=Deferred(0.8))
    assert (await ask(model)).reason == "confidence 0.90 (learned; the model's own is 0.80) is at least 0.83"


async def test_every_feature_of_a_learned_deferral_has_words():
    from flows.kinds.deferral import FALLING, RISING

    assert set(DEFERRING) >= RISING | FALLING


def test_where_nothing_speaks_for_an_answer_its_reasons_say_so_and_never_stay_empty():
    fraud = load_usecase("fraud", Path(__file__).parents[2] / "usecases")
    against = [Contribution("spent", 50.0, -0.4), Contribution("terminal_risk_7d", 0.0, 0.0)]
    assert reason_sentences(fraud, against) == NOTHING
    assert reason_sentences(fraud, [*against, Contribution("night", 1.0, 0.1)]).startswith("it was made 1")
    assert reason_sentences(fraud, []) == ""
    assert reason_sentences(USECASE, [Contribution("a token", 1.0, -0.1)]) == ""
