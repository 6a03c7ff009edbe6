"""sign: a copy of the package with a signature over every byte of it."""

import shutil
from pathlib import Path
from typing import Any

from flows.steps.files import need
from registry.keys import ensure_signing_keys
from registry.settings import RegistrySettings
from registry.signing import sign_package


def sign(build: Path, settings: RegistrySettings) -> dict[str, Any]:
    """Copy package/ to signed/ and sign it with this machine's key, made at first use, or as settings say.

    Returns `digest` and `key_id`. A copy, so that step `package` keeps what it wrote unchanged.
    """
    source = need(build / "package", "package")
    signed = build / "signed"
    if signed.exists():
        shutil.rmtree(signed)
    shutil.copytree(source, signed)
    keys = ensure_signing_keys(settings.keys_dir)  # the log of promotions is signed with it in any case
    found = {"digest": sign_package(signed, keys.private_key, settings), "key_id": keys.key_id}
    return found if settings.signing == "key" else {**found, "key_id": settings.signing}
