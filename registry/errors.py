"""Errors of this room, for people who train, sign, place or load a model.

RegistryError
├── RegistryUnavailable   MLflow cannot be reached; what is placed goes on serving
├── ModelNotFound         no such model, version, alias or placed copy; says how to get one
├── PackageRefused        the bytes are not what a trusted key signed: file, expected, got
│   └── SignatureRefused  the signature itself: missing, broken, unknown key, or it hides files
├── PackageInvalid        a package that cannot be signed or opened: says what is wrong in which file
├── VersionRevoked        a version, or its signer, was revoked, and no earlier one is placed
├── TrustInvalid          the trust policy or the revocations cannot be read: file, key, what was expected
├── MoveRefused           an alias that was moved in MLflow, and for which no signed promotion vouches
│   └── MoveOvertaken     it was promoted once, and a newer promotion was accepted here since
├── ConfigRefused         a configuration's copy is missing, unsigned, altered or too large
├── BundleInvalid         the list of models inside a bento is missing or of another form
├── PromotionRefused      the gate is shut, or what is asked cannot be promoted: says which and why
├── PromotionRaced        another promotion of the same model was first: look again, then decide
├── LogBroken             the signed log of promotions is not what was appended: says which entry
├── PlacingFailed         a verified copy could not be written; what was placed before still stands
└── KeyUnusable           a signing or trusted key is missing, exposed, broken or not a pair
"""


class RegistryError(Exception):
    """Base of every error that this room raises on purpose."""


class RegistryUnavailable(RegistryError):
    """MLflow did not answer, or its answer made no sense; the message says what to start or set."""


class ModelNotFound(RegistryError):
    """There is no such model, version, alias or placed copy; the message says how to get one."""


class PackageRefused(RegistryError):
    """A package is not what a trusted key signed. `file` is the offender, relative to the package."""

    def __init__(self, package: str, file: str, expected: str, got: str, advice: str = "") -> None:
        advice = advice or "do not use this copy: place or train the model again"
        super().__init__(f"package {package}: {file}: expected {expected}, got {got}; {advice}")
        self.package = package
        self.file = file
        self.expected = expected
        self.got = got

    def __reduce__(self) -> str | tuple[object, ...]:
        # An exception with several arguments only crosses a process border when told how.
        return _rebuilt, (type(self), self.args[0], self.package, self.file, self.expected, self.got)


class SignatureRefused(PackageRefused):
    """The signature is missing, broken, by a key that is not trusted, or leaves files unsigned."""


class PackageInvalid(RegistryError):
    """A package is malformed, whoever signed it; the message names file, expected and got."""


class VersionRevoked(RegistryError):
    """What is asked for was revoked, and no earlier version is placed that was not."""


class TrustInvalid(RegistryError):
    """The trust policy, or this machine's revocations, is missing or malformed; names file and key."""


class MoveRefused(RegistryError):
    """An alias in MLflow means a version for which no signed promotion vouches; it is not followed."""


class MoveOvertaken(MoveRefused):
    """The promotion is genuine, and a newer one was accepted on this machine since."""


class ConfigRefused(RegistryError):
    """A configuration's signed copy is missing, unsigned, altered, revoked or too large; it serves nobody."""


class BundleInvalid(RegistryError):
    """`bundle.json` of a bento is missing or malformed; the message names file and key."""


class PromotionRefused(RegistryError):
    """This version is not promoted; nothing was changed, and the refusal stands in the signed log."""


class PromotionRaced(RegistryError):
    """Another promotion of the same model is under way or was first; nothing was changed by this one."""


class LogBroken(RegistryError):
    """An entry of the signed log of promotions was altered, removed or moved."""


class PlacingFailed(RegistryError):
    """A verified copy could not be written. Nothing is half-placed; what served before goes on."""


class KeyUnusable(RegistryError):
    """A key file is missing, readable by others, broken, of the wrong curve, or not the other's half."""


def _rebuilt(
    kind: type[PackageRefused], message: str, package: str, file: str, expected: str, got: str
) -> PackageRefused:
    error = kind(package, file, expected, got)
    error.args = (message,)
    return error
