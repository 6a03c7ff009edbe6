"""An operator's wish for one request: `x-switchyard-variant: support/local=candidate`, several by commas."""

from collections.abc import Mapping

from services.errors import Forbidden, InputError
from services.values import Caller
from services.variants import Variant

HEADER = "x-switchyard-variant"
ROLE = "operator"
NONE: Mapping[str, str] = {}


def forced_variants(headers: Mapping[str, str], caller: Caller) -> Mapping[str, str]:
    """Component -> variant. Raises `Forbidden` for who is no operator, `InputError` for what is no wish."""
    given = headers.get(HEADER)
    if given is None:
        return NONE
    if ROLE not in caller.roles:
        raise Forbidden(f"{HEADER} needs the role '{ROLE}'; leave it out")
    found = dict(pair.strip().partition("=")[::2] for pair in given.split(","))
    if not all(component and variant in set(Variant) for component, variant in found.items()):
        raise InputError(HEADER, f"{HEADER}: expected <usecase>/<component>=stable or =candidate")
    return found
