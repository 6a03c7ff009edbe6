"""What a caller demands of the answer itself, as validators of that one request: `response_format` and such.

They see the answer as its caller would read it, re-identified: what passes here is what is sent.
"""

from collections.abc import Callable, Mapping, Sequence

from services.values import Envelope, Expectation
from services.verify.base import Check, Validator

Output = Mapping[str, object]


class Demands:
    """The demands of one call. `unmet` names the first that refused an answer, once one did.

    `reveal` makes of a redacted output what the caller gets.
    """

    def __init__(self, expectations: Sequence[Expectation], reveal: Callable[[Output], Output]) -> None:
        self._reveal = reveal
        self.unmet: str | None = None
        self.validators = tuple(
            Validator(one.name, self._check(one), own_text=one.own_text) for one in expectations
        )

    def _check(self, expectation: Expectation) -> Check:
        def check(output: Output, envelope: Envelope) -> str | None:
            problem = expectation.problem(self._reveal(output))
            if problem is not None and self.unmet is None:
                self.unmet = expectation.name
            return problem

        return check
