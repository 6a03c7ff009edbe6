"""Settings of the serving side, from `SWITCHYARD_*` variables. Units are in the names.

Nothing here makes a directory, opens a file or connects to anything.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from services.errors import ConfigError
from services.oidc_settings import OidcSettings

Price = Annotated[float, Field(ge=0)]


class EndpointSettings(BaseModel):
    """One OpenAI-compatible cloud endpoint. `region` and `attested` are what policy is asked about."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, allow_inf_nan=False)

    base_url: str = Field(pattern=r"^https?://", repr=False)  # may hold a password
    api_key: SecretStr = SecretStr("none")
    model: str = Field(min_length=1)
    echoes: str | None = None  # the model's name in its answers, where that is another (a deployment's …)
    region: str | None = None
    on_premises: bool = False
    attested: bool = False
    usd_per_million_input: Price = 0.0
    usd_per_million_output: Price = 0.0
    usd_per_million_cached: Price | None = None  # None: cached tokens cost what other input costs


def _default_usecases_dir() -> Path:
    """`usecases/` here; else the one beside this package, as in a checkout or a built bento."""
    here = Path("usecases")
    return here if here.is_dir() else Path(__file__).parent.parent / "usecases"


def _default_host() -> str:
    """Loopback, unless this is an image that `bentoml containerize` built: there nobody could reach it."""
    return "0.0.0.0" if os.environ.get("BENTOML_CONTAINERIZED") == "true" else "127.0.0.1"  # noqa: S104  — see above


class ServiceSettings(BaseSettings):
    """What one orchestrator (or command) runs with. Secrets and addresses with passwords stay out of repr."""

    model_config = SettingsConfigDict(
        env_prefix="SWITCHYARD_",
        frozen=True,
        hide_input_in_errors=True,
        env_ignore_empty=True,
        populate_by_name=True,
        allow_inf_nan=False,
    )

    home: Path = Field(default=Path(".switchyard"), validate_default=True)
    usecases_dir: Path = Field(
        default_factory=_default_usecases_dir,
        validation_alias=AliasChoices("SWITCHYARD_USECASES", "usecases_dir"),
    )
    endpoints: Mapping[str, EndpointSettings] = Field(default_factory=dict)

    host: str = Field(default_factory=_default_host)
    workers: int = Field(default=2, ge=1, le=64)

    max_body_bytes: int = Field(default=1024 * 1024, ge=1024)
    max_json_depth: int = Field(default=16, ge=4, le=200)
    body_timeout_s: float = Field(default=10.0, gt=0)
    header_timeout_s: float = Field(default=10.0, gt=0)  # for a request's head, from its first byte
    request_timeout_s: float = Field(default=30.0, gt=0, le=300)
    max_concurrency: int = Field(default=64, ge=1)  # requests at work at once, in each worker
    max_queue: int = Field(default=256, ge=0)  # requests that wait for a place, in each worker
    queue_timeout_s: float = Field(default=2.0, gt=0)
    requests_per_minute_per_key: int = Field(default=60_000, ge=1)  # in each worker, or in all by Redis
    requests_per_minute_per_tenant: int = Field(default=120_000, ge=1)
    failed_keys_per_minute: int = Field(default=20, ge=1)  # wrong keys from one address
    key_cache_s: float = Field(default=1.0, ge=0, le=2)  # how long a revoked key may still be let in
    idempotency_ttl_s: float = Field(default=86_400.0, gt=0)
    oidc: OidcSettings | None = None  # None: API keys alone

    recognisers: Path | None = None  # a YAML file of the deployment's own recognisers
    ner: str | None = Field(default=None, pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")  # module:factory
    ner_timeout_s: float = Field(default=0.1, gt=0, le=5)  # for one text; the worker waits for it

    local_models_url: str | None = Field(
        default=None, repr=False
    )  # None: local models run in the orchestrator's own process
    local_models_timeout_s: float = Field(default=2.0, gt=0)
    model_poll_s: float = Field(default=2.0, gt=0)  # how often a worker looks for new models and use cases
    rollout_poll_s: float = Field(default=1.0, gt=0, le=2)  # how often a worker reads rollouts and switches
    model_sync_timeout_s: float = Field(default=60.0, gt=0)

    redis_url: SecretStr | None = None  # None: budgets and breakers in `counters_db`, rates in each worker
    counters_file: Path | None = None  # None: {home}/counters.db
    slow_call_s: float = Field(default=5.0, gt=0)  # a cloud call this long is slow; many open its breaker

    journal_sync: Literal["always", "interval"] = "interval"
    journal_sync_s: float = Field(default=0.2, gt=0)
    checkpoint_records: int = Field(default=1000, ge=1)  # a worker signs its journal's state this often
    checkpoint_s: float = Field(default=10.0, gt=0)
    checkpoints_dir: Path | None = None  # a second place for checkpoints, on another disk
    shipping: bool = True  # decisions go to the decisions database too
    shipping_s: float = Field(default=1.0, gt=0)
    database_url: SecretStr | None = None  # None: decisions are shipped to `decisions_db`
    retention_days: int | None = Field(default=None, ge=1)  # for use cases that do not say; None: kept

    feedback_days: int = Field(default=90, ge=1)  # feedback for older decisions is refused
    feedback_per_hour_per_key: int = Field(default=1000, ge=1)  # in all workers together

    review_lease_s: float = Field(default=900.0, gt=0, le=86_400)  # how long a reviewer holds a review

    @field_validator("home")
    @classmethod
    def _absolute(cls, home: Path) -> Path:
        return home.expanduser().absolute()

    @field_validator("redis_url")
    @classmethod
    def _redis_address(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None and not url.get_secret_value().startswith(("redis://", "rediss://", "unix://")):
            raise ValueError("expected redis://host:port/db, rediss://… or unix://…")
        return url

    @property
    def keys_dir(self) -> Path:
        return self.home / "keys"

    @property
    def journal_dir(self) -> Path:
        return self.home / "journal"

    @field_validator("database_url")
    @classmethod
    def _postgres_address(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None and not url.get_secret_value().startswith(
            ("postgresql://", "postgresql+psycopg://")
        ):
            raise ValueError("expected postgresql://user:password@host:port/database")
        return url

    @property
    def signed_log_dir(self) -> Path:
        return self.home / "checkpoints"

    @property
    def decisions_db(self) -> Path:
        return self.home / "decisions.db"

    @property
    def reviews_db(self) -> Path:
        return self.home / "reviews.db"

    @property
    def rollouts(self) -> Path | str:
        """Where rollouts and switches are kept."""
        return self.database_url.get_secret_value() if self.database_url else self.home / "rollouts.db"

    @property
    def counters_db(self) -> Path:
        return self.counters_file or self.home / "counters.db"

    @property
    def state_db(self) -> Path:
        return self.home / "state.db"


def load_settings(**overrides: object) -> ServiceSettings:
    """Settings from the environment; a wrong one is a `ConfigError` that names it, never its value."""
    try:
        return ServiceSettings(**overrides)  # type: ignore[arg-type]  # checked by the model itself
    except ValidationError as error:
        problems = "; ".join(
            f"{_variable(item['loc'])}: {item['msg']}"
            for item in error.errors(include_input=False, include_url=False, include_context=False)
        )
        raise ConfigError(f"settings: {problems}") from None
    except SettingsError as error:
        raise ConfigError(f"settings: {error}; expected JSON") from None


def _variable(path: tuple[int | str, ...]) -> str:
    name = str(path[0]) if path else "settings"
    name = name if name.startswith("SWITCHYARD_") else f"SWITCHYARD_{name.upper()}"
    return ".".join([name, *(str(part) for part in path[1:])])
