"""The detector as the settings want it: with the deployment's own recognisers and its NER model, if any."""

from services.privacy.detect import Detector, NamedEntities, build_detector
from services.privacy.kinds import BUILT_IN, Span, detected_tags
from services.privacy.ner import load_ner
from services.privacy.recognisers import custom
from services.settings import ServiceSettings


class FindsNothing(Detector):
    """The recognisers take seconds to import; a use case can only be wrong about what they are called."""

    def __init__(self, kinds: tuple[str, ...]) -> None:
        super().__init__((), (), (), (), (), kinds=kinds)

    def scan(self, text: str) -> list[Span]:
        return []


def detector_of(settings: ServiceSettings) -> Detector:
    """Takes seconds: once a process. Raises `ConfigError` that names file and entry, or the setting."""
    return build_detector(settings.recognisers, ner=_ner(settings))


def kinds_of(settings: ServiceSettings) -> tuple[str, ...]:
    """What `detector_of` can find, without building the built-in recognisers. Raises `ConfigError`."""
    patterns = custom.load(settings.recognisers) if settings.recognisers else []
    ner = _ner(settings)
    more = [pattern.kind for pattern in patterns] + list(getattr(ner, "kinds", ()))
    return tuple(dict.fromkeys((*BUILT_IN, *more)))


def tags_of(settings: ServiceSettings) -> frozenset[str]:
    """Every data tag that detection can give here: what an access policy may mention."""
    return detected_tags(kinds_of(settings))


def _ner(settings: ServiceSettings) -> NamedEntities | None:
    return load_ner(settings.ner, settings.ner_timeout_s) if settings.ner else None
