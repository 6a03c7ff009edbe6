"""Access policies written into a use-case folder of a test's own, and questions to ask them."""

from dataclasses import replace
from pathlib import Path

from feature_checks.usecase import UseCase, load_usecase
from services.policy import AccessPolicy, PolicyQuestion
from tests.toy import write_text_usecase

SCOPE = 'principal, action == Action::"send", resource'


def usecase_with(folder: Path, policy: str) -> UseCase:
    """A use case of one text field, tagged `user_content`, with this policy."""
    tagged = {"text": {"type": "string", "min_length": 1, "max_length": 80, "tags": ["user_content"]}}
    root = write_text_usecase(folder, input=tagged)
    (root / "policy.cedar").write_text(policy, encoding="utf-8")
    return load_usecase("parcels", folder)


def policy_of(folder: Path, policy: str, targets: tuple[str, ...] | None = None) -> AccessPolicy:
    return AccessPolicy.load(usecase_with(folder, policy), targets)


def ask(**changes: object) -> PolicyQuestion:
    """Redacted user content on its way to a cloud endpoint in the US, changed as said."""
    question = PolicyQuestion("acme", frozenset({"user_content"}), "cloud/primary", region="us")
    return replace(question, **changes)  # type: ignore[arg-type]  # each test names its own fields
