"""Write the model card from the evaluation.

`python -m weights.recipes.sts_ctpet.card --to weights/sts_ctpet_small/README.md`
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from weights.recipes.sts_ctpet.evaluate import table
from weights.registry import find, fingerprint

FOLDER = Path("weights/sts_ctpet_small")

TEMPLATE = Path(__file__).with_name("card_template.md")


def card() -> str:
    """The card's text from what was evaluated and what is in the folder."""
    result = json.loads((FOLDER / "evaluation.json").read_text())
    curve = json.loads((FOLDER / "training_loss.json").read_text())
    size = (FOLDER / "fold_0" / "checkpoint_final.pth").stat().st_size / 1e6
    return TEMPLATE.read_text().format(
        size=size,
        sha256=fingerprint(find("sts-ctpet-small")),
        iterations=curve[-1]["iteration"],
        held_out=table(result["held out"]),
        mirrored=table(result["held out, mirrored"]),
        tumour_free=table(result["tumour-free"]),
        training=table(result["training"]),
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--to", type=Path, required=True)
    parser.parse_args().to.write_text(card())
