"""Signs statements with the deployment's receipt key, one type for each purpose, and follows its rotation."""

import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from joserfc.errors import UnsupportedAlgorithmError
from joserfc.jws import JWSRegistry
from joserfc.util import urlsafe_b64encode

from services.errors import SigningUnavailable
from services.privacy.hashing import canonical_json
from services.receipt_keys import SigningKey, active_kid, ensure_receipt_key

log = logging.getLogger(__name__)

ALGORITHMS = ("EdDSA", "Ed25519")  # the old and the new (RFC 9864) name of the one algorithm we take
_LOOK_FOR_ROTATION_S = 5.0


class Ed25519Only(JWSRegistry):
    """No other algorithm exists here, so none can be slipped in. Also spares a deprecation warning for
    each signature: RFC 9864 prefers the name Ed25519, but fewer verifiers know that one yet."""

    def get_alg(self, name: str) -> Any:  # the library does not export the type
        if name not in ALGORITHMS:
            raise UnsupportedAlgorithmError(f"algorithm {name!r} is not allowed")
        return self.algorithms[name]


REGISTRY = Ed25519Only(algorithms=ALGORITHMS)


class Signer:
    """Compact JWS of one type. Makes the key at once if there is none, and takes a rotated key within
    seconds. Raises `SigningUnavailable` when built without a usable key."""

    def __init__(self, keys_dir: Path, type_: str) -> None:
        self._keys_dir = keys_dir
        self._type = type_
        self._take(ensure_receipt_key(keys_dir))

    def sign(self, claims: Mapping[str, Any]) -> str:
        """The signed statement; `claims` are JSON-like."""
        if time.monotonic() >= self._look_again:
            self._follow_rotation()
        # RFC 7515, 7.1, around the library's algorithm: its `serialize_compact` checks and encodes our
        # constant header anew each time, which takes as long as the signature.
        signed = b"%b.%b" % (self._header, urlsafe_b64encode(canonical_json(claims)))
        signature = self._algorithm.sign(signed, self._signing.key)
        return (b"%b.%b" % (signed, urlsafe_b64encode(signature))).decode("ascii")

    def _take(self, signing: SigningKey) -> None:
        self._signing = signing
        header = {"alg": ALGORITHMS[0], "kid": signing.kid, "typ": self._type}
        REGISTRY.check_header(header)
        self._header = urlsafe_b64encode(canonical_json(header))
        self._algorithm = REGISTRY.get_alg(ALGORITHMS[0])
        self._look_again = time.monotonic() + _LOOK_FOR_ROTATION_S

    def _follow_rotation(self) -> None:
        """Take a rotated key. Whatever is wrong with the folder, the key in hand still signs."""
        self._look_again = time.monotonic() + _LOOK_FOR_ROTATION_S
        try:
            if active_kid(self._keys_dir) not in (None, self._signing.kid):
                self._take(ensure_receipt_key(self._keys_dir))
        except (SigningUnavailable, OSError, ValueError) as error:
            log.error(
                "receipts: the rotated key cannot be used, the old one goes on: %s", type(error).__name__
            )
