"""Prompt files: text with `{{ field }}`, cut into a system and a user part by a line that is only `---`.

What a user wrote stands between a line that begins with `<<<` and a line that ends with `>>>`, and can
contain neither: longer runs of these signs in it are cut to two. So it cannot close its own fence.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from feature_checks.usecase import UseCase
from services.errors import ConfigError
from services.targets.outgoing import own_slots

_SLOT = re.compile(r"\{\{\s*([A-Za-z_][A-Za-z0-9_]*)\s*\}\}")
_CUT = re.compile(r"^---[ \t]*$", re.MULTILINE)
_FENCE = re.compile(r"[<＜﹤]{3,}|[>＞﹥]{3,}")
LABELS = "labels"


@dataclass(frozen=True, slots=True)
class Prompt:
    """A checked prompt. `system` is ready; `user` alternates text and field names. `version` is the
    SHA-256 (12 hex digits) of both, allowed labels included."""

    system: str
    user: tuple[str, ...]
    version: str

    def render(self, fields: Mapping[str, object]) -> str:
        """The user part for one request. Fields are put in once: what looks like a slot in them stays."""
        return "".join(
            _fenced(fields.get(part)) if position % 2 else part for position, part in enumerate(self.user)
        )


def load_prompt(usecase: UseCase) -> Prompt:
    """Read and check the use case's prompt. Raises `ConfigError` that names the file and the slot."""
    assert usecase.cloud is not None
    shown = f"{usecase.name}/{usecase.cloud.prompt}"
    try:
        text = usecase.path(usecase.cloud.prompt).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{shown}: cannot be read as UTF-8 text ({type(error).__name__})") from error
    parts = _CUT.split(text)
    if len(parts) != 2:
        found = len(parts) - 1
        raise ConfigError(f"{shown}: expected one line '---' between system and user part, got {found}")
    system, user = (part.strip("\n") for part in parts)
    labels = usecase.allowed(usecase.label)
    _check_slots(shown, "system part", system, (LABELS,))
    _check_slots(shown, "user part", user, (*usecase.input, *own_slots(usecase)))
    _check_fences(shown, user, usecase)
    system = _SLOT.sub(lambda _: "\n".join(labels), system)
    version = hashlib.sha256(f"{system}\n---\n{user}".encode()).hexdigest()[:12]
    return Prompt(system, tuple(_SLOT.split(user)), version)


def _check_slots(shown: str, where: str, text: str, allowed: Sequence[str]) -> None:
    for slot in _SLOT.findall(text):
        if slot not in allowed:
            known = ", ".join(allowed)
            raise ConfigError(f"{shown}: {where}: {{{{ {slot} }}}} is not known here; allowed: {known}")
    if "{{" in _SLOT.sub("", text):
        raise ConfigError(f"{shown}: {where}: '{{{{' that opens no {{{{ name }}}}")


def _check_fences(shown: str, user: str, usecase: UseCase) -> None:
    """Every text of the user stands alone between a line `<<<…` and a line `…>>>`."""
    lines = user.splitlines()
    for number, line in enumerate(lines):
        for slot in _SLOT.findall(line):
            before = lines[number - 1] if number else ""
            after = lines[number + 1] if number + 1 < len(lines) else ""
            fenced = before.startswith("<<<") and after.endswith(">>>") and _SLOT.fullmatch(line.strip())
            field = usecase.input.get(slot)  # None: our own words
            if field and field.type in ("string", "timestamp") and not fenced:
                raise ConfigError(
                    f"{shown}: user part: put {{{{ {slot} }}}} on a line of its own, between a line that "
                    "begins with '<<<' and one that ends with '>>>': a user's text must not pose as yours"
                )


def _fenced(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return _FENCE.sub(lambda run: run[0][:2], text)
