"""The vault opens for `reidentify` and its own request, and for nothing else."""

import ast
import copy
import dataclasses
import json
import logging
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter
from pydantic_core import to_json

import services
from services.privacy.reidentify import reidentify
from services.privacy.vault import Vault, VaultSealed
from tests.services.privacy_help import sealed

SECRET = "4111 1111 1111 1111"


@dataclasses.dataclass
class Holder:
    vault: Vault


def the_vault() -> Vault:
    return Vault("request-1", {"<CARD_1>": SECRET})


@pytest.mark.parametrize(
    "leak",
    [
        pickle.dumps, copy.copy, copy.deepcopy, json.dumps, str, format, list, iter, dict, bytes,
        lambda v: f"{v}", "%s".__mod__, "{}".format, lambda v: v["<CARD_1>"], lambda v: "<CARD_1>" in v,
        lambda v: json.dumps(v, default=str), lambda v: pickle.dumps(v, protocol=0),
        lambda v: dataclasses.asdict(Holder(v)), lambda v: TypeAdapter(Any).dump_json(v), to_json, vars,
        lambda v: v.__getstate__(), lambda v: v.__reduce__(), lambda v: {**v},
    ],
)  # fmt: skip
def test_whatever_would_copy_a_vault_is_refused_and_shows_nothing(leak: Callable[[Vault], object]) -> None:
    with pytest.raises((TypeError, ValueError, AttributeError)) as caught:
        leak(the_vault())
    assert SECRET not in str(caught.value)


def test_repr_says_how_many_and_nothing_else() -> None:
    assert repr(the_vault()) == "<Vault of 1 originals, sealed>"
    assert SECRET not in repr(Holder(the_vault()))


def test_a_log_line_with_a_vault_holds_no_original(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        logging.getLogger("any").info("sealed %r", the_vault())
    assert SECRET not in caplog.text


def test_no_attribute_shows_the_originals() -> None:
    vault = the_vault()
    shown = [repr(getattr(vault, name)) for name in dir(vault) if not name.startswith("_Vault__")]
    assert not any(SECRET in text for text in shown)


def test_a_vault_does_not_open_for_another_request() -> None:
    _, mine = sealed(text=SECRET)
    theirs, _ = sealed(text="nothing")
    with pytest.raises(VaultSealed, match="another request"):
        reidentify("<CARD_1>", mine, theirs)


def test_only_reidentify_opens_a_vault() -> None:
    """Every module of the serving room is read: `_unseal` is called in one of them."""
    room = Path(services.__file__).parent
    callers = {
        file.relative_to(room).as_posix()
        for file in room.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and (node.attr == "_unseal" or "__originals" in node.attr)
    }
    assert callers == {"privacy/reidentify.py", "privacy/vault.py"}
