"""Child processes that run our own modules: they must find the packages that we were found in."""

import os
from pathlib import Path


def child_environment(**more: str) -> dict[str, str]:
    """This process's environment with our packages first on the path, wherever they lie: in a checkout,
    in site-packages, or in a built bento that is not installed at all."""
    here = str(Path(__file__).parent.parent)
    path = os.environ.get("PYTHONPATH")
    return {**os.environ, "PYTHONPATH": f"{here}{os.pathsep}{path}" if path else here, **more}
