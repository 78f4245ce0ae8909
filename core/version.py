"""Which TwinReview this is, and which libraries it runs on: what sidecars say under `software`."""

from __future__ import annotations

import functools
import platform
import subprocess
import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from core.settings import for_child

ROOT = Path(__file__).resolve().parents[1]
#: A file with one line that a release puts beside app.py.
RELEASE = "RELEASE"
#: Distributions whose versions can change a mask, in the order in which they are told.
PACKAGES = ("numpy", "nibabel", "duckdb", "torch", "nnunetv2", "SimpleITK", "openvino")
NOT_INSTALLED = "not installed"
UNKNOWN = "unknown"


@functools.cache
def twinreview_version(root: Path = ROOT) -> str:
    """The version of the code that runs, asked for once a process.

    Returns:
        `git describe` of the checkout ("1.2-5-gd0cd739", with "-dirty" where files differ from the commit), else what
        the RELEASE file or pyproject.toml says, else "unknown".
    """
    return _described(root) or _released(root) or _packaged(root) or UNKNOWN


def software() -> dict[str, str]:
    """Versions of TwinReview, Python and `PACKAGES`; "not installed" for a library that is absent. Imports none."""
    return {
        "twinreview": twinreview_version(),
        "python": platform.python_version(),
        **{name: _package_version(name) for name in PACKAGES},
    }


@functools.cache
def _package_version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return NOT_INSTALLED


def _described(root: Path) -> str:
    """Commit of the checkout in `root` itself; not of one that happens to lie around it."""
    if not (root / ".git").exists():
        return ""
    try:
        answer = subprocess.run(
            # The checkout may belong to another account than the one that runs; its code runs here already.
            ["git", "-c", f"safe.directory={root.resolve()}", "describe", "--always", "--dirty", "--tags"],
            cwd=root,
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
            stdin=subprocess.DEVNULL,
            env=for_child({"GIT_OPTIONAL_LOCKS": "0"}, without="GIT_"),
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return answer.stdout.strip()


def _released(root: Path) -> str:
    try:
        return (root / RELEASE).read_text(encoding="utf-8").strip()[:80]
    except (OSError, UnicodeDecodeError):
        return ""


def _packaged(root: Path) -> str:
    try:
        project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8")).get("project", {})
    except (OSError, ValueError):
        return ""
    return str(project.get("version", ""))
