"""Commands of this room: `switchyard keys`, `audit`, `receipt`, `evaluate`, `policy` and `reviews`."""

import typer

from services.audit_cli import audit_commands
from services.evaluate_cli import evaluate_commands
from services.keys_cli import key_commands
from services.policy_cli import policy_commands
from services.reviews_cli import review_commands
from services.thresholds_cli import threshold_commands


def commands(root: typer.Typer) -> None:
    """Add this room's commands to the command tree."""
    evaluate_commands(root)
    key_commands(root)
    audit_commands(root)
    policy_commands(root)
    review_commands(root)
    threshold_commands(root)
