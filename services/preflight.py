"""`python -m services.preflight`: may this server start? One readable message if not, exit code 1.

Run once by `bentoml serve` before it starts workers: it reads and checks everything that a worker
would, makes keys and the state database, verifies and places the models that a bento holds, and fetches
those that are still not placed. In a process of
its own, so that the supervisor stays small.
"""

import logging
import sys

from feature_checks.errors import FeatureCheckError
from registry.bundles import place_bundled
from registry.errors import RegistryError
from registry.settings import RegistrySettings
from services.bootstrap import Edges, bootstrap
from services.catalogue import load_usecases, local_models
from services.detection import FindsNothing, kinds_of
from services.errors import ServiceError
from services.model_sync import not_placed, sync
from services.settings import ServiceSettings, load_settings
from services.state.api_keys import ApiKeys
from services.state.database import Database


def main() -> int:
    """Check, and say what is wrong or missing. Returns the exit code."""
    try:
        settings = load_settings()
        refused = unpack_models(settings)
        problem = fetch_models(settings)
        detector = FindsNothing(kinds_of(settings))
        readiness = bootstrap(settings, Edges(detector=detector)).readiness()
        with Database(settings.state_db) as database:
            has_keys = bool(ApiKeys(database).list())
    except (ServiceError, FeatureCheckError, RegistryError) as error:
        sys.stderr.write(f"switchyard: cannot start: {error}\n")
        return 1
    for line in refused:
        sys.stderr.write(f"switchyard: {line}\n")
    if problem is not None:
        sys.stderr.write(f"switchyard: models could not be fetched: {problem}\n")
    for name, state in readiness.use_cases.items():
        for target, problem in state["missing"].items():
            sys.stderr.write(f"switchyard: {name}: {target} is left out: {problem}\n")
    if not has_keys:
        advice = "`switchyard keys create --tenant T --role caller` makes one"
        sys.stderr.write(f"switchyard: there is no API key yet, so nobody can ask; {advice}\n")
    return 0


def fetch_models(settings: ServiceSettings) -> str | None:
    """Place the models that this machine lacks; why not, where that fails: then `local` is left out."""
    if settings.local_models_url is not None:
        return None
    registry = RegistrySettings(home=settings.home)
    names = not_placed(local_models(load_usecases(settings).values()), registry)
    return sync(names, registry, settings.model_sync_timeout_s) if names else None


def unpack_models(settings: ServiceSettings) -> list[str]:
    """Verify and place the models that this bento holds; a line for each that is refused."""
    return place_bundled(RegistrySettings(home=settings.home)) if settings.local_models_url is None else []


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)  # what is wrong is said once, by `main`
    sys.exit(main())
