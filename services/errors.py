"""Errors of this room, for callers of the service and for those who run it.

ServiceError(status, type)
├── ConfigError             500  a file or a setting is wrong: refused at start, with its name
├── InputError(field)       422  the request's content is wrong; `field` names where
├── Unauthorized            401  no key, or not a valid one
├── Forbidden               403  the key is valid, its roles do not allow this
├── NotFound                404  no such use case, decision or path
├── MethodNotAllowed        405  the path exists, not with this method
├── Expired                 410  a decision that is too old to be judged
├── Contradiction           409  feedback that says otherwise than what was said before
├── Taken                   409  a review that another reviewer holds, or that is done
├── TooLarge                413  a body or field above its bound
├── UnsupportedMedia        415  a body that is not said to be plain JSON
├── TooManyRequests         429  `retry_after_s` says when to come back
├── NothingMayAnswer        503  every target was denied, failed or declined, and no default is planned
│   └── DemandUnmet         422  there were answers, and none that meets what the caller demands of one
├── StreamBroken            502  a streamed answer broke off after its first text: no other one is given
├── JournalUnavailable      503  the record cannot be written, so no answer may leave
├── SigningUnavailable      503  no receipt key can be had, so no answer may leave
├── StateUnavailable        503  the state database cannot be read or written, so no key can be checked
├── IdentityUnavailable     503  the identity provider's keys cannot be had, so no token can be checked
├── Conflict                409  a repeated request whose first copy is still at work
├── TargetFailed(kind)      —    inside the pipeline: one attempt failed, the next is tried
├── NotAsked                —    inside the pipeline: breaker or budget do not let one attempt go out
├── TargetRefused           —    inside the pipeline: a model refused for safety; final, never routed around
├── ChainBroken             —    a journal file was changed: the first bad record, and what is wrong with it
└── ReceiptRefused          —    a receipt does not prove what it claims, and why

No message holds anything of a request's content: these texts reach logs, journal and callers.
"""

from typing import ClassVar


class ServiceError(Exception):
    """Base of every error that this room raises on purpose. `status` and `type` are for HTTP."""

    status: ClassVar[int] = 500
    type: ClassVar[str] = "internal_error"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class ConfigError(ServiceError):
    """A file or a setting is wrong; the message names it, what was expected, and what to do."""

    type = "config_error"


class InputError(ServiceError):
    """The request's content is wrong. `field` is a path such as `input.text`; `malformed` means a
    body that could not be read at all, which is a 400 instead of a 422."""

    status = 422
    type = "invalid_input"

    def __init__(self, field: str, message: str, *, malformed: bool = False) -> None:
        super().__init__(message)
        self.field = field
        self.malformed = malformed


class Unauthorized(ServiceError):
    status = 401
    type = "unauthorized"


class Forbidden(ServiceError):
    status = 403
    type = "forbidden"


class NotFound(ServiceError):
    status = 404
    type = "not_found"


class Expired(ServiceError):
    """It was there, and its time is over: a decision that can no longer be judged."""

    status = 410
    type = "expired"


class Contradiction(ServiceError):
    """Feedback that says otherwise than what was said before of the same decision."""

    status = 409
    type = "contradiction"


class Taken(ServiceError):
    """A review that another reviewer holds, or that this one has done."""

    status = 409
    type = "taken"


class TooLarge(ServiceError):
    status = 413
    type = "too_large"


class MethodNotAllowed(ServiceError):
    status = 405
    type = "method_not_allowed"

    def __init__(self, message: str, allowed: tuple[str, ...]) -> None:
        super().__init__(message)
        self.allowed = allowed


class UnsupportedMedia(ServiceError):
    status = 415
    type = "unsupported_media_type"


class TooManyRequests(ServiceError):
    status = 429
    type = "too_many_requests"

    def __init__(self, message: str, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class NothingMayAnswer(ServiceError):
    """Every target was denied, failed or declined. `reasons` are those of the attempts, in order."""

    status = 503
    type = "nothing_may_answer"

    def __init__(self, message: str, reasons: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.reasons = reasons


class DemandUnmet(NothingMayAnswer):
    """Every answer that the plan gave breaks what the caller demands (`response_format` …). A 422: it
    takes another request, and a caller's schema must not look like our outage."""

    status = 422
    type = "demand_unmet"


class StreamBroken(ServiceError):
    """Text of an answer went out, and its rest will not: it failed, was refused, or came too late. What went
    out is not an answer. On the wire an error event, since the status has long been sent."""

    status = 502
    type = "stream_broken"

    def __init__(self, message: str, reasons: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.reasons = reasons


class JournalUnavailable(ServiceError):
    """The journal cannot take the record. The request is refused: no answer without a record."""

    status = 503
    type = "journal_unavailable"


class SigningUnavailable(ServiceError):
    """There is no key to sign receipts with, and none can be made."""

    status = 503
    type = "signing_unavailable"


class StateUnavailable(ServiceError):
    """The state database cannot be read or written: a key that is not known yet cannot be checked."""

    status = 503
    type = "state_unavailable"


class IdentityUnavailable(ServiceError):
    """The identity provider's public keys cannot be fetched: tokens cannot be checked. API keys still can."""

    status = 503
    type = "identity_unavailable"


class Conflict(ServiceError):
    """The same request is being answered just now; ask again after `retry_after_s`."""

    status = 409
    type = "conflict"

    def __init__(self, message: str, retry_after_s: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class TargetFailed(ServiceError):
    """One attempt failed. `kind` is short and closed (`timeout`, `http_429`, `bad_schema` …), fit for
    a metric label; `cost_usd` is what the failed attempt cost, None when nobody knows; `retry_after_s` is
    when the endpoint wants to be asked again, if it said so."""

    type = "target_failed"

    def __init__(
        self,
        kind: str,
        message: str,
        *,
        cost_usd: float | None = 0.0,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.cost_usd = cost_usd
        self.retry_after_s = retry_after_s


class NotAsked(ServiceError):
    """A target was not asked: its breaker is open, or its budget does not allow it. Says what would
    change that; the next target is tried."""

    type = "not_asked"


class TargetRefused(ServiceError):
    """A model refused for reasons of safety. Final: no other model is asked, the default answers."""

    type = "target_refused"

    def __init__(self, message: str, *, cost_usd: float | None = 0.0, model: str | None = None) -> None:
        super().__init__(message)
        self.cost_usd = cost_usd
        self.model = model


class ChainBroken(ServiceError):
    """A journal file was changed after it was written. `seq` is the first bad record's number."""

    type = "chain_broken"

    def __init__(self, file: str, seq: int, message: str) -> None:
        super().__init__(f"{file}: record {seq}: {message}")
        self.file = file
        self.seq = seq


class ReceiptRefused(ServiceError):
    """A receipt that cannot be trusted; the message says why."""

    status = 422
    type = "receipt_refused"
