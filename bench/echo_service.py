"""The measure: a bare BentoML API service that gives back what it gets, as in BentoML's tutorial."""

import bentoml


@bentoml.service(workers=1, http={"host": "127.0.0.1"})
class Echo:
    """`POST /echo {"text": …}`."""

    @bentoml.api  # type: ignore[untyped-decorator]  # BentoML's are
    def echo(self, text: str) -> str:
        return text
