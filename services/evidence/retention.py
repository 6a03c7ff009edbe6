"""How long a record's content is kept. Pure: rules and a record in, a reason to take it out or None out.

The shortest time of all the tags that a request carried counts. A record is taken to be no older than any
record before it in its file: a wall clock that went back must not make contents expire early.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from feature_checks.usecase import RetentionSpec

DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class Rule:
    """Days of one use case; `default_days` None keeps what no tag limits."""

    default_days: int | None = None
    by_tag: Mapping[str, int] = field(default_factory=dict)

    def limit(self, tags: Collection[str]) -> tuple[int, str] | None:
        """The shortest time in days, and the tag that says so."""
        found = [(days, tag) for tag, days in self.by_tag.items() if tag in tags]
        if self.default_days is not None:
            found.append((self.default_days, DEFAULT))
        return min(found, default=None)


def rule_of(own: RetentionSpec | None, otherwise_days: int | None) -> Rule:
    """The rule of a use case: its own, else the deployment's."""
    return Rule(own.default_days, own.by_tag) if own else Rule(otherwise_days)


@dataclass(frozen=True, slots=True)
class Rules:
    """Rules by use case; `other` is for those that have none, or are gone."""

    by_use_case: Mapping[str, Rule]
    other: Rule = field(default_factory=Rule)

    def expired(self, record: Mapping[str, Any], written: datetime, now: datetime) -> tuple[int, str] | None:
        """(days, tag) where this decision's content must go by now."""
        if record.get("kind") != "decision" or "removed" in record:
            return None
        rule = self.by_use_case.get(str(record.get("use_case")), self.other)
        request = record.get("request")
        tags = request.get("tags", ()) if isinstance(request, Mapping) else ()
        limit = rule.limit(frozenset(map(str, tags)))
        if limit is None or written + timedelta(days=limit[0]) > now:
            return None
        return limit
