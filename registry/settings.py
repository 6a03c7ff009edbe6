"""Settings of this room: where keys, MLflow and placed models live. Nothing here makes a directory."""

from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class RegistrySettings(BaseSettings):
    """Read from `SWITCHYARD_HOME`, `…_TRUST`, `…_BUNDLE`, `…_MLFLOW_TRACKING_URI`,
    `…_RETENTION_DAYS` and `…_SIGNING…`.

    `home` holds all state and is made absolute, so that a later change of directory moves nothing.
    The tracking URI may hold a password, and is therefore kept out of repr and errors.
    """

    model_config = SettingsConfigDict(
        env_prefix="SWITCHYARD_", frozen=True, hide_input_in_errors=True, env_ignore_empty=True
    )

    home: Path = Field(default=Path(".switchyard"), validate_default=True)
    trust: Path = Field(default=Path(__file__).parent / "trust.yaml", validate_default=True)
    bundle: Path = Path(__file__).parent.parent / "bundle"  # models inside a bento; see bundles.py
    mlflow_tracking_uri: str | None = Field(default=None, repr=False)
    retention_days: int | None = Field(default=None, ge=1)  # of use cases that do not say; None: kept
    signing: Literal["key", "certificate", "keyless"] = "key"
    signing_key: Path | None = None  # of the certificate
    signing_certificate: Path | None = None
    signing_chain: Path | None = None  # what leads from it to its authority, if anything does

    @field_validator("home", "trust")
    @classmethod
    def _absolute(cls, path: Path) -> Path:
        return path.expanduser().absolute()

    @property
    def tracking_uri(self) -> str:
        """Where MLflow keeps runs and registered models: a database, or the address of a server."""
        uri = self.mlflow_tracking_uri or f"sqlite:///{self.home / 'mlflow.db'}"
        return uri.replace("postgresql://", "postgresql+psycopg://", 1)  # the driver that we install

    @property
    def artifacts_dir(self) -> Path:
        """Where MLflow keeps files when its store is a database on this machine."""
        return self.home / "mlflow-artifacts"

    @property
    def keys_dir(self) -> Path:
        """The signing key pair, and `trusted/` with other signers' public keys."""
        return self.home / "keys"

    @property
    def models_dir(self) -> Path:
        """Verified, placed copies: the only place from which a model is loaded."""
        return self.home / "models"
