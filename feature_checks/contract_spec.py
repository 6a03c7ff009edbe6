"""What `contract:` of usecase.yaml asks of a model before it is packaged: ceilings, and where cases lie."""

from pydantic import Field

from feature_checks.strict_model import Strict


class ContractSpec(Strict):
    """Ceilings are for one prediction on one thread, by the median; memory is what the model adds."""

    cases: str | None = None  # a YAML file in the folder: how the model must behave
    responses: str | None = None  # a folder in the folder: recorded responses of cloud endpoints, one a file
    latency_ms: float = Field(default=50, gt=0)
    memory_mb: float = Field(default=1024, gt=0)
    parity: float = Field(default=1e-4, gt=0, lt=1)  # exported and trained model differ by at most
