"""What code and which environment a model was trained by, as far as this machine can tell."""

import hashlib
import os
import subprocess
from pathlib import Path

from registry.evidence import BUILDER

_REPOSITORY = Path(__file__).resolve().parent.parent
GIT_TIMEOUT_S = 10


def code_state() -> tuple[str | None, bool]:
    """(commit, dirty) of the repository that holds this code; (None, False) outside one."""
    own = Path(__file__).resolve().relative_to(_REPOSITORY)
    # An installed copy may lie inside somebody else's repository: then this file is not tracked there.
    if not _git("ls-files", "--", str(own)):
        return None, False
    changes = _git("status", "--porcelain", "--untracked-files=no")
    return _git("rev-parse", "HEAD") or None, bool(changes)


def builder() -> str:
    """Who runs this training, as SLSA asks: in GitHub Actions the workflow's address."""
    server, workflow = os.environ.get("GITHUB_SERVER_URL"), os.environ.get("GITHUB_WORKFLOW_REF")
    if os.environ.get("GITHUB_ACTIONS") == "true" and server and workflow:
        return f"{server}/{workflow}"
    return BUILDER


def lock_sha256() -> str | None:
    """SHA-256 of requirements.lock, or None where there is none."""
    lock = _REPOSITORY / "requirements.lock"
    return hashlib.sha256(lock.read_bytes()).hexdigest() if lock.is_file() else None


def _git(*words: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(_REPOSITORY), *words],  # noqa: S607  — whichever git the user has
            capture_output=True,
            text=True,
            check=False,
            timeout=GIT_TIMEOUT_S,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
