"""Contract between orchestrator and cloud endpoint: what is asked, and what comes of each kind of answer.

    python -m services.endpoint_contract <usecase>

prints a JSON list of checks (`registry.contract_tests.ContractCheck`). Prompt, schema, client and wire are
those that serve; only the endpoint is ours, on loopback, and says what was recorded in the use case's folder
or what a script makes of the use case's own safe default. No paid endpoint is ever asked.
"""

import asyncio
import json
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

from feature_checks.contract_cases import Recorded, load_recorded
from feature_checks.errors import UseCaseError
from feature_checks.usecase import UseCase, load_usecase
from registry.contract_tests import ContractCheck
from services.endpoint_script import scripted
from services.errors import ServiceError, TargetFailed, TargetRefused
from services.recorded_endpoint import RecordedEndpoint
from services.settings import EndpointSettings
from services.targets.answer_schema import AnswerSchema, load_answer_schema
from services.targets.cloud import CloudTarget
from services.targets.endpoint import ChatEndpoint
from services.targets.prompt import load_prompt
from services.values import Envelope

PATH = "/v1/chat/completions"
TIMEOUT_S = 30.0  # on loopback; only a machine that stands still takes so long
ASKED = {"model", "messages", "max_tokens", "temperature", "response_format"}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one answer: `answered` with its fields, or the kind of failure."""

    kind: str
    output: Mapping[str, object] | None = None


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    names = list(sys.argv[1:] if argv is None else argv)
    if len(names) != 1:
        sys.stderr.write("usage: python -m services.endpoint_contract USECASE\n")
        return 2
    try:
        checks = asyncio.run(endpoint_checks(load_usecase(names[0])))
    except (UseCaseError, ServiceError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(json.dumps([check.model_dump(mode="json") for check in checks]) + "\n")
    return 0


async def endpoint_checks(usecase: UseCase) -> list[ContractCheck]:
    """What is asked, then each recorded answer, then each scripted one, of every endpoint that is named."""
    assert usecase.cloud is not None  # the caller's check: there is no contract without a cloud step
    recorded, made = load_recorded(usecase), scripted(usecase)
    checks: list[ContractCheck] = []
    async with AsyncExitStack() as closing:
        bench = _Bench(usecase, closing)
        for name in usecase.cloud.endpoints:
            checks.append(await _question(name, bench))
            for file, one in recorded.items():
                if not one.endpoints or name in one.endpoints:
                    checks.append(await _replayed(f"{name}: {file}", name, one, bench))
            for what, one in made.items():
                checks.append(await _replayed(f"{name}: {what}", name, one, bench))
    return checks


class _Bench:
    """The parts that serve, around one endpoint of ours; a client for each model name that is asked."""

    def __init__(self, usecase: UseCase, closing: AsyncExitStack) -> None:
        assert usecase.cloud is not None
        patient = usecase.cloud.model_copy(update={"timeout_s": TIMEOUT_S})
        self.usecase = usecase.model_copy(update={"cloud": patient})
        self.schema = load_answer_schema(usecase)
        self.endpoint = closing.enter_context(RecordedEndpoint())
        self._prompt = load_prompt(usecase)
        self._clients: dict[tuple[str, str], ChatEndpoint] = {}
        self._closing = closing

    async def asked(self, name: str, one: Recorded) -> Outcome:
        """What comes of a question that is answered with `one`."""
        if (name, one.model) not in self._clients:
            settings = EndpointSettings(base_url=self.endpoint.url, model=one.model)
            client = self._clients[name, one.model] = ChatEndpoint(name, settings)
            self._closing.push_async_callback(client.aclose)
        target = CloudTarget(self._clients[name, one.model], self._prompt, self.schema)
        envelope = Envelope("contract", self.usecase.name, "contract", dict(one.input), frozenset(), "0" * 64)
        self.endpoint.will_answer(one.status, one.body)
        try:
            answer = await target.answer(envelope, self.usecase, time.monotonic() + TIMEOUT_S)
        except TargetRefused:
            return Outcome("refused")
        except TargetFailed as failed:
            return Outcome(failed.kind)
        return Outcome("answered", answer.output)


async def _question(name: str, bench: _Bench) -> ContractCheck:
    """The body that arrives: system and user message, strict schema, bounds; the input in the user part."""
    first = next(iter(scripted(bench.usecase).values()))
    fields = bench.usecase.input.items()
    marked = {field: f"marker-{field}" for field, spec in fields if spec.type == "string"}
    await bench.asked(name, first.model_copy(update={"input": {**first.input, **marked}}))
    problem = _misasked(bench.endpoint.asked, bench.schema, bench.usecase, marked)
    expected = "system and user message, a strict output schema, bounded tokens, the input in the user part"
    return _check(f"{name}: the question", problem is None, expected, problem or "that")


def _misasked(
    asked: tuple[str, Any] | None, schema: AnswerSchema, usecase: UseCase, marked: Mapping[str, str]
) -> str | None:
    assert usecase.cloud is not None
    if asked is None or not isinstance(asked[1], dict):
        return "no JSON question arrived"
    path, body = asked
    if path != PATH or set(body) != ASKED:
        return f"{path} with {', '.join(sorted(body))}"
    if [message.get("role") for message in body["messages"]] != ["system", "user"]:
        return "other messages"
    if body["response_format"] != schema.on_the_wire or body["max_tokens"] != usecase.cloud.max_output_tokens:
        return "another output schema or bound"
    if missing := [field for field, text in marked.items() if text not in body["messages"][1]["content"]]:
        return f"input '{missing[0]}' is not in the user part"
    if any(text in body["messages"][0]["content"] for text in marked.values()):
        return "input stands in the system part"
    return None


async def _replayed(shown: str, name: str, one: Recorded, bench: _Bench) -> ContractCheck:
    found = await bench.asked(name, one)
    expected, passed, got = one.expect, found.kind == one.expect, found.kind
    if passed and one.output is not None and dict(found.output or {}) != dict(one.output):
        passed, got = False, "answered, with other output"
    return _check(shown, passed, expected, got)


def _check(name: str, passed: bool, expected: str, got: str) -> ContractCheck:
    return ContractCheck(
        name=name, between="orchestrator-endpoint", passed=passed, expected=expected, got=got
    )


if __name__ == "__main__":
    sys.exit(main())
