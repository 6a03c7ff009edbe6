"""A cloud model behind an endpoint: prompt from the redacted fields, answer checked against the schema."""

import time
from dataclasses import asdict

from feature_checks.usecase import UseCase
from services.errors import TargetFailed, TargetRefused
from services.prices import cost_usd
from services.reply_field import reply_field
from services.targets import Target, Written
from services.targets.answer_schema import AnswerSchema
from services.targets.chat import Chat, ChatReply, Tell
from services.targets.json_stream import FieldText
from services.targets.outgoing import outgoing
from services.targets.prompt import Prompt
from services.values import Answer, Envelope


class CloudTarget(Target):
    """`cloud/<endpoint>`. Fails with a reason whatever goes wrong; a refusal for safety is final."""

    own_text = False

    def __init__(self, endpoint: Chat, prompt: Prompt, schema: AnswerSchema) -> None:
        self.name = f"cloud/{endpoint.name}"
        self.on_premises = endpoint.on_premises
        self.region = endpoint.region
        self.attested = endpoint.attested
        self.versions = {"prompt": prompt.version}
        self._endpoint = endpoint
        self._prompt = prompt
        self._schema = schema

    async def answer(self, envelope: Envelope, usecase: UseCase, deadline: float) -> Answer:
        return await self._ask(envelope, usecase, deadline, None)

    async def answer_written(
        self, envelope: Envelope, usecase: UseCase, deadline: float, written: Written
    ) -> Answer:
        return await self._ask(envelope, usecase, deadline, written)

    async def _ask(
        self, envelope: Envelope, usecase: UseCase, deadline: float, written: Written | None
    ) -> Answer:
        assert usecase.cloud is not None
        timeout_s = min(usecase.cloud.timeout_s, deadline - time.monotonic())
        if timeout_s <= 0:
            raise TargetFailed("timeout", "no time was left to ask it")
        question = (
            self._prompt.system,
            self._prompt.render(outgoing(envelope, usecase)),
            self._schema.on_the_wire,
            usecase.cloud.max_output_tokens,
            timeout_s,
        )
        if written is None:
            reply = await self._endpoint.ask(*question)
        else:
            tell = _teller(FieldText(reply_field(usecase)), written)
            reply = await self._endpoint.ask_streamed(*question, usecase.cloud.stream_idle_s, tell)
        cost = cost_usd(reply.usage, self._endpoint.prices)
        if reply.refused:
            message = "the model refused for reasons of safety; that is final"
            raise TargetRefused(message, cost_usd=cost.usd, model=self._endpoint.model)
        try:
            output = self._output(reply)
        except TargetFailed as failure:
            raise TargetFailed(failure.kind, failure.message, cost_usd=cost.usd) from None
        said = f"answered; cost {cost.usd:.6f} USD" if cost.usd is not None else f"answered; {cost.reason}"
        usage = None if reply.usage is None else asdict(reply.usage)
        return Answer(output, None, said, cost.usd, self._endpoint.model, usage)

    def _output(self, reply: ChatReply) -> dict[str, object]:
        if reply.finish_reason == "length":
            raise TargetFailed("truncated", "its answer was cut off at the token limit")
        if reply.finish_reason != "stop":
            raise TargetFailed("unfinished", "its answer did not end as an answer ends")
        if reply.content is None:
            raise TargetFailed("empty", "its response holds no answer")
        return self._schema.parse(reply.content)


def _teller(text: FieldText, written: Written) -> Tell:
    """Takes the answer in pieces as it arrives, and tells of the text in it each time that it has grown."""

    async def tell(piece: str) -> None:
        if text.feed(piece):
            await written(text.text)

    return tell
