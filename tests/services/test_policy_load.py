"""A policy file is refused at load when it is wrong, with its name, the policy and the reason."""

from pathlib import Path

import pytest

from services.policy import AccessPolicy, PolicyError
from services.policy_source import targets_of
from tests.fakes import support
from tests.services.policy_help import SCOPE, ask, policy_of, usecase_with


def when(condition: str) -> str:
    return f'@id("a") permit ({SCOPE}) when {{ {condition} }};'


@pytest.mark.parametrize(
    ("policy", "reason"),
    [
        ("permit (principal, action,", "is not Cedar: unexpected end"),
        ("permit (principal, action, resource) where { true };", "is not Cedar"),
        ("", "holds no policy"),
        ("// permit (principal, action, resource);", "holds no policy"),
        (
            when('context.colour == "red"'),
            r"a: attribute `colour` in context .* not found.*context: tags, purpose, residency",
        ),
        (when('resource.owner == "x"'), r"a: attribute `owner`"),
        (
            when('context.residency == "eu"'),
            r"a: unable to guarantee safety of access to optional attribute `residency`",
        ),
        (when('resource.region == "eu"'), "optional attribute `region`"),
        (when("context.tags.contains(3)"), "not compatible"),
        (when('resource.attested == "yes"'), "not compatible"),
        (when("context.purpose"), "a: "),
        ('@id("a") permit (principal == User::"x", action, resource);', "unrecognized entity type `User`"),
        (
            '@id("a") permit (principal, action == Action::"train", resource);',
            r'unrecognized action `Action::"train"`',
        ),
        (
            '@id("a") permit (principal is Target, action, resource);',
            "a: unable to find an applicable action",
        ),
        (
            '@id("a") permit (principal, action, resource == Tenant::"acme");',
            "a: unable to find an applicable action",
        ),
        ('@id("a") permit (principal, action, resource == ?resource);', "holds a template"),
        (
            '@id("a") permit (principal, action, resource); @id("a") forbid (principal, action, resource);',
            "two policies are called 'a'",
        ),
        (
            when('context.tags.contains("secrt")'),
            "no data tag is called 'secrt'; known: .*secret, user_content",
        ),
        (when('context.tags.containsAny(["pii", "pii_crad"])'), "no data tag is called 'pii_crad'"),
        (
            '@id("a") permit (principal, action, resource == Target::"cloud/primry");',
            "no target is called 'cloud/primry'; known: local, safe_default",
        ),
        (when('resource in [Target::"lokal"]'), "no target is called 'lokal'"),
        (when('context has residency && context.residency == "EU"'), "'EU' can never match.*write 'eu'"),
        (when('context has residency && ["eu", "Us"].contains(context.residency)'), "'Us' can never match"),
        (when('context.purpose == "Marketing"'), "'Marketing' can never match"),
        (when('context.purpose like "Mark*"'), r"'Mark\*' can never match"),
        (when('{a: context.purpose} == {a: "Marketing"}'), "'Marketing' can never match"),
        (when('resource has region && resource.region == "EU"'), "'EU' can never match"),
        (when('context.purpose == "two words"'), "no purpose can ever be 'two words'"),
        (when('context has residency && context.residency == " eu"'), "no residency can ever be ' eu'"),
        (when('principal == Tenant::"Acme"'), "no tenant can ever be 'Acme'"),
        ('@id("a") forbid (principal == Tenant::"Acme", action, resource);', "no tenant can ever be 'Acme'"),
    ],
)
def test_a_wrong_policy_is_refused_with_file_and_reason(tmp_path: Path, policy: str, reason: str) -> None:
    with pytest.raises(PolicyError, match=reason) as caught:
        policy_of(tmp_path, policy)
    assert str(caught.value).startswith("parcels/policy.cedar: ")


def test_one_wrong_policy_among_good_ones_refuses_the_whole_file(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match="the-bad-one"):
        policy_of(
            tmp_path,
            f'@id("good") permit ({SCOPE});'
            f'@id("the-bad-one") forbid ({SCOPE}) when {{ context.who == "x" }};',
        )


def test_a_missing_or_unreadable_file_is_refused(tmp_path: Path) -> None:
    usecase = usecase_with(tmp_path, f"permit ({SCOPE});")
    usecase.path("policy.cedar").write_bytes(b"\xff\xfe")
    with pytest.raises(PolicyError, match="expected a readable text in UTF-8, got UnicodeDecodeError"):
        AccessPolicy.load(usecase)
    usecase.path("policy.cedar").unlink()
    with pytest.raises(PolicyError, match="FileNotFoundError"):
        AccessPolicy.load(usecase)


def test_tags_of_custom_recognisers_are_known_when_they_are_given(tmp_path: Path) -> None:
    policy = f'@id("a") forbid ({SCOPE}) when {{ context.tags.contains("pii_customer_number") }};'
    usecase = usecase_with(tmp_path, policy)
    with pytest.raises(PolicyError, match="no data tag is called 'pii_customer_number'"):
        AccessPolicy.load(usecase)
    AccessPolicy.load(usecase, tags=["pii_customer_number"])


def test_a_policy_without_an_id_is_known_by_its_place_in_the_file(tmp_path: Path) -> None:
    policy = policy_of(tmp_path, f'permit ({SCOPE}); forbid ({SCOPE}) when {{ context.purpose == "x" }};')
    assert policy.verdict(ask()).policy_ids == ("policy-1",)
    assert policy.verdict(ask(purpose="x")).policy_ids == ("policy-2",)


def test_the_targets_of_a_plan_are_its_steps_with_endpoints_written_out() -> None:
    assert targets_of(support()) == ("rules", "local", "cloud/primary", "safe_default")


def test_the_policy_that_ships_with_the_repository_is_sound_and_every_policy_has_a_name() -> None:
    names = AccessPolicy.load(support()).source.names.values()
    assert len(names) == 6
    assert not [name for name in names if name.startswith("policy-")]
