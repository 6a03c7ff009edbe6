"""This home's own name among machines that share a database or a checkpoints folder: made once, random."""

import contextlib
import os
import secrets
from pathlib import Path

from services.errors import ConfigError


def node_id(keys_dir: Path) -> str:
    """16 hex digits, kept in `keys/node.id`. Workers that start together agree. Raises `ConfigError`."""
    file = keys_dir / "node.id"
    try:
        if not file.exists():
            keys_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            temporary = keys_dir / f".node.id.{os.getpid()}"
            temporary.write_text(secrets.token_hex(8), encoding="ascii")
            with contextlib.suppress(FileExistsError):
                os.link(temporary, file)  # unlike a rename, it never replaces another worker's
            temporary.unlink()
        found = file.read_text(encoding="ascii").strip()
    except OSError as error:
        raise ConfigError(
            f"keys/node.id cannot be read or made ({error.strerror}); check its rights"
        ) from error
    if len(found) != 16 or not set(found) <= set("0123456789abcdef"):
        raise ConfigError("keys/node.id: expected 16 hex digits; restore it from a backup")
    return found
