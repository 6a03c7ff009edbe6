"""The deployment's own secret behind keyed hashes: made once, kept in `{home}/keys/hash.key`, 0600.

Whoever has it can test guesses against the hashes in journals and caches; without it nobody can.
"""

import os
import secrets
from pathlib import Path

from services.errors import ConfigError

KEY_BYTES = 32


def load_hash_key(keys_dir: Path) -> bytes:
    """The key, made now if there is none. Workers that start together agree on one. Raises `ConfigError`."""
    file = keys_dir / "hash.key"
    try:
        if not file.exists():
            _make(file)
        key = file.read_bytes()
        exposed = file.stat().st_mode & 0o077
    except OSError as error:
        raise ConfigError(
            f"keys/hash.key cannot be read or made ({error.strerror}); check its rights"
        ) from error
    if len(key) != KEY_BYTES:
        raise ConfigError(
            f"keys/hash.key: expected {KEY_BYTES} bytes, got {len(key)}; restore it from a backup, or delete "
            "it to begin anew (older hashes can then no longer be joined)"
        )
    if exposed:
        raise ConfigError("keys/hash.key can be read by others; run `chmod 600` on it")
    return key


def _make(file: Path) -> None:
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = file.with_name(f".hash.key.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(secrets.token_bytes(KEY_BYTES))
            stream.flush()
            os.fsync(stream.fileno())
        try:
            os.link(temporary, file)  # unlike a rename, it never replaces the key of another worker
        except FileExistsError:
            return
    finally:
        temporary.unlink(missing_ok=True)
