"""Asks PyPI for known vulnerabilities of every version in constraints.txt, and says how many it could ask about.

pip-audit calls a package that the index does not know "skipped" and ends well, so that behind a mirror, or without a
network, nothing is asked and nothing is found. Here that is no clean bill. `make audit` runs this.

Exit status: 0 all were asked about and none is known to be vulnerable; 1 some are; 2 not all could be asked about.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
ADVICE = "Run `make audit` where https://pypi.org can be reached."


class Audited(NamedTuple):
    """One package: what is known against it, each as "ID, fixed in VERSION"; `asked` False if PyPI did not answer."""

    package: str
    asked: bool
    vulnerabilities: tuple[str, ...]


def read_answer(text: str) -> list[Audited]:
    """pip-audit's JSON, a package each.

    Raises:
        ValueError: it is no such JSON.
    """
    answer = json.loads(text)
    if not isinstance(answer, dict) or not isinstance(answer.get("dependencies"), list):
        raise ValueError("expected pip-audit's list of dependencies")
    found = []
    for one in answer["dependencies"]:
        known = tuple(
            f"{v['id']}, fixed in {', '.join(v['fix_versions']) or 'no version'}" for v in one.get("vulns", ())
        )
        found.append(Audited(f"{one['name']} {one.get('version', '')}".strip(), "skip_reason" not in one, known))
    return found


def report(found: list[Audited]) -> tuple[list[str], int]:
    """Sentences for people, and the exit status."""
    unasked = [one.package for one in found if not one.asked]
    lines = [f"{one.package}: {text}" for one in found for text in one.vulnerabilities]
    affected = sum(bool(one.vulnerabilities) for one in found)
    lines.append(
        f"{affected} of {len(found) - len(unasked)} packages that were asked about are known to be vulnerable."
    )
    if unasked or not found:
        lines.append(f"{len(unasked)} of {len(found)} could not be asked about: this is no clean bill. {ADVICE}")
    return lines, 1 if affected else 2 if unasked or not found else 0


def main() -> int:
    """Runs pip-audit and prints what it could find out."""
    command = [sys.executable, "-m", "pip_audit", "--requirement", "constraints.txt", "--no-deps", "--disable-pip"]
    command += ["--format", "json", "--progress-spinner", "off"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    try:
        found = read_answer(done.stdout)
    except ValueError:
        last = (done.stderr.strip().splitlines() or ["pip-audit said nothing"])[-1]
        reason = "PyPI cannot be reached from here." if "Connection" in last or "HTTP" in last else last
        print(f"Nothing was audited: {reason} {ADVICE}")
        return 2
    lines, status = report(found)
    print("\n".join(lines))
    return status


if __name__ == "__main__":
    sys.exit(main())
