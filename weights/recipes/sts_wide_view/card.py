"""Write the model card from the evaluation, bad figures first.

`python -m weights.recipes.sts_wide_view.card --to weights/sts_ctpet_wide_view/README.md`
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from core.review.sureness import LEAST_MEAN_PROBABILITY
from weights.recipes.sts_wide_view.evaluate import Figures, Row, summary
from weights.recipes.sts_wide_view.sureness import summary as sureness_summary
from weights.registry import checkpoints, find, fingerprint

FOLDER = Path("weights/sts_ctpet_wide_view")
NEW, OLD = "sts-ctpet-wide-view", "sts-ctpet-small"
TEMPLATE = Path(__file__).with_name("card_template.md")


def rows_table(rows: Sequence[Row]) -> str:
    """Markdown of rows that have the same keys."""
    if not rows:
        return "Not measured yet; `.evaluate` goes on where it stopped."
    keys = list(rows[0])
    lines = ["| " + " | ".join(keys) + " |", "|" + " --- |" * len(keys)]
    return "\n".join([*lines, *("| " + " | ".join(str(row[k]) for k in keys) + " |" for row in rows)])


def beside(figures: dict[str, Figures]) -> str:
    """The summaries of both networks, a line a figure."""
    new, old = summary(figures[NEW]), summary(figures[OLD])
    rows: list[Row] = [
        {"figure": name, "this network": new[name], "sts-ctpet-small": old.get(name, "not measured")} for name in new
    ]
    return rows_table(rows)


def worst_moves(rows: Sequence[Row], count: int = 8) -> list[Row]:
    """The moves of the field of view that cost most."""
    return sorted(rows, key=lambda row: float(row["seen"]) - float(row["whole"]))[:count]


def found_in_nothing(rows: Sequence[Row]) -> list[Row]:
    """The painted-out scans in which something was found, the most first."""
    found = [row for row in rows if float(row["found_mL"]) > 0]
    none: Row = {"patient": "none", "way": "", "found_mL": 0, "where_it_was_mL": 0}
    return sorted(found, key=lambda row: -float(row["found_mL"])) or [none]


def card() -> str:
    """The card's text from what was evaluated and what is in the folder."""
    figures: dict[str, Figures] = json.loads((FOLDER / "evaluation.json").read_text())
    trained = json.loads((FOLDER / "training.json").read_text())
    first = next(iter(trained.values()))
    entry = find(NEW)
    new = figures[NEW]
    sure = [row for rows in json.loads((FOLDER / "sureness.json").read_text()).values() for row in rows]
    return TEMPLATE.read_text().format(
        size=sum(file.stat().st_size for file in checkpoints(entry)) / 1e6,
        sha256=fingerprint(entry),
        machine=first["machine"],
        torch=first["torch"],
        iterations=" and ".join(str(facts["done_iterations"]) for facts in trained.values()),
        seconds=" and ".join(f"{facts['took_seconds']:.0f}" for facts in trained.values()),
        batch=first["batch"],
        window=first["window"],
        cases=first["cases"],
        beside=beside(figures),
        painted=rows_table(found_in_nothing(new["painted out"])),
        moves=rows_table(worst_moves(new["moved"])),
        held_out=rows_table(new["held out"]),
        mirrored=rows_table(new["mirrored"]),
        training=rows_table(new["training"]),
        sure="\n".join(
            f"- {line}." for line in sureness_summary(sure, sorted({str(r["patient"]) for r in new["held out"]}))
        ),
        sure_rows=rows_table(sure),
        limit=LEAST_MEAN_PROBABILITY,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--to", type=Path, required=True)
    parser.parse_args().to.write_text(card())


if __name__ == "__main__":
    main()
