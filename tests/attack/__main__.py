"""`python -m tests.attack [WORDS]`: tries every door (whose kind or name holds WORDS), prints what held, fails if any
did not."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import mkdtemp

from tests.attack import dashboard, files, people, records, scene, server
from tests.attack.door import Door, Outcome, attempt


def doors(words: str) -> list[Door]:
    every = [*files.DOORS, *records.DOORS, *people.DOORS, *server.DOORS]
    return [door for door in every if words.lower() in f"{door.kind} {door.name}".lower()]


def outcomes(chosen: list[Door]) -> Iterator[Outcome]:
    folder = Path(mkdtemp(prefix="twin-attack-"))
    try:
        for number, door in enumerate(chosen):
            yield attempt(door, folder / str(number))
            shutil.rmtree(folder / str(number), ignore_errors=True)
    finally:
        dashboard.stop()
        scene.forget_scene()
        shutil.rmtree(folder, ignore_errors=True)


def main() -> int:
    chosen, found, kind = doors(" ".join(sys.argv[1:])), list[Outcome](), ""
    for outcome in outcomes(chosen):
        found.append(outcome)
        if outcome.door.kind != kind:
            kind = outcome.door.kind
            print(f"\n{kind}")
        print(
            f"  {outcome.state:9} {outcome.door.name} ({outcome.seconds:.0f} s)\n            {outcome.said}", flush=True
        )
    count = {state: sum(one.state == state for one in found) for state in ("held", "OPEN", "not tried")}
    print(f"\n{count['held']} of {len(found)} doors held, {count['OPEN']} open, {count['not tried']} not tried")
    return 1 if count["OPEN"] or not found else 0


if __name__ == "__main__":
    sys.exit(main())
