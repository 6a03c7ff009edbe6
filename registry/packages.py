"""A model package: its manifest, its digest, and the type that stands for verified bytes.

The digest of a package is the SHA-256 of the text that holds one line a file, `<sha256>  <name>\\n`
with POSIX names in byte order, for every file but the signature. Anyone recomputes it:

    find . -type f ! -path ./model.sig -printf '%P\\n' | LC_ALL=C sort | xargs sha256sum | sha256sum
"""

import errno
import hashlib
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from registry.errors import PackageInvalid, PackageRefused
from registry.records import Acceptance, Name

MANIFEST = "package.json"
SIGNATURE = "model.sig"


class PackageManifest(BaseModel):
    """`package.json`: what the package is called, which runtime opens it, and what it promises.

    `files` are those that the runtime needs; each must be in the package. The registered name is in
    here, and so under the signature: a valid package cannot pass for another model. Form 2 has a learned
    deferral, which its threshold is on: readers of form 1 would take the model's own confidence for that.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)

    format_version: Literal[1, 2]
    name: Name
    kind: Name
    labels: tuple[str, ...] = Field(min_length=1, strict=False)
    inputs: tuple[str, ...] = Field(min_length=1, strict=False)
    acceptance: Acceptance
    contract_version: str = Field(min_length=1)
    files: tuple[str, ...] = Field(strict=False)


def parse_manifest(raw: bytes, shown: str = MANIFEST) -> PackageManifest:
    """Read package.json strictly. Raises `PackageInvalid` naming key, expected and got."""
    try:
        return PackageManifest.model_validate_json(raw)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(str(p) for p in e['loc']) or 'the document'}: {e['msg']}"
            for e in error.errors(include_input=False, include_url=False)
        )
        raise PackageInvalid(f"{shown}: {problems}; write it again with this version") from None


def package_digest(files: Mapping[str, str]) -> str:
    """The digest of a package from its files (name -> SHA-256 in hex); see the top of this module."""
    lines = (f"{files[name]}  {name}\n" for name in sorted(files, key=str.encode))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def read_regular(path: Path) -> bytes:
    """The bytes of a regular file. A link or a pipe that was put in its place is an `OSError`."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "not a regular file")
        return file.read()


_SEAL = object()


@dataclass(frozen=True, slots=True, init=False)
class VerifiedPackage:
    """A package whose every file a trusted key signed. Only `signing.verify_package` makes one.

    `files` maps each signed name to its SHA-256; `key_id` names the signer. What comes out of `read`
    is hashed again, so that a file swapped after verification is refused too.
    """

    root: Path
    digest: str
    files: Mapping[str, str]
    manifest: PackageManifest
    key_id: str

    def __init__(
        self, root: Path, files: Mapping[str, str], manifest: PackageManifest, key_id: str, *, seal: object
    ) -> None:
        if seal is not _SEAL:
            raise TypeError("VerifiedPackage is made by registry.signing.verify_package only")
        for name, value in (
            ("root", root),
            ("digest", package_digest(files)),
            ("files", MappingProxyType(dict(files))),
            ("manifest", manifest),
            ("key_id", key_id),
        ):
            object.__setattr__(self, name, value)

    def read(self, name: str) -> bytes:
        """The bytes of one signed file. Raises `PackageRefused` when they are not those verified."""
        shown = f"'{self.manifest.name}'"
        if name not in self.files:
            raise PackageRefused(shown, name, "a file that the signature covers", "a name that it does not")
        try:
            content = read_regular(self.root / name)
        except OSError as error:
            raise PackageRefused(shown, name, "a readable file", error.strerror or "none") from error
        found = hashlib.sha256(content).hexdigest()
        if found != self.files[name]:
            raise PackageRefused(shown, name, f"SHA-256 {self.files[name]}", f"{found} (changed since)")
        return content

    def __reduce__(self) -> str | tuple[object, ...]:
        raise TypeError("a VerifiedPackage does not cross processes: verify it again there")
