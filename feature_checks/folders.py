"""Which files of a use-case folder shape its behaviour, and the version that names their exact content."""

import hashlib
from pathlib import Path


def folder_version(root: Path) -> str:
    """Hash of every file that shapes behaviour (all but `data/`): 12 hex digits, the config version."""
    digest = hashlib.sha256()
    for relative, content in shaping_contents(root).items():
        digest.update(relative.encode() + b"\0" + hashlib.sha256(content).digest())
    return digest.hexdigest()[:12]


def shaping_contents(root: Path) -> dict[str, bytes]:
    """Those files by their names below `root`, in the order in which the version hashes them."""
    return {file.relative_to(root).as_posix(): file.read_bytes() for file in shaping_files(root)}


def shaping_files(root: Path) -> list[Path]:
    """The files of a use case that shape behaviour, sorted: all but data and hidden ones."""
    files = (path for path in root.rglob("*") if path.is_file())
    return sorted(file for file in files if _shapes(file.relative_to(root).as_posix()))


def _shapes(relative: str) -> bool:
    return not relative.startswith(("data/", ".")) and "__pycache__" not in relative
