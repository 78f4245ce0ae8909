"""Write the model card from the evaluation, bad figures first.

`python -m weights.recipes.sts_one_scan.card --kind CT` writes weights/FOLDER/README.md.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from weights.recipes.sts_one_scan.evaluate import summary
from weights.recipes.sts_one_scan.scans import KINDS, Kind
from weights.recipes.sts_wide_view.card import rows_table
from weights.registry import checkpoints, find, fingerprint

TEMPLATE = Path(__file__).with_name("card_template.md")
SCANS = {"CT": "CT", "MR": "T1-weighted MR"}
VALUES = {"CT": " (HU, -160 to 240)", "MR": " (each scan scaled to 0..1 by its least and greatest value)"}
MORE = {
    "CT": """- **It does not see the tumour yet.** With it painted out it finds about as much as with it: of STS_003
  275 mL with the tumour (80 mL by contour), 211 to 312 mL without. Six of 24 painted-out scans were measured.
- It is not sure of anything: of all six held-out tumours the mean probability is below .9, so each would be a doubt.
- Soft tissue in soft tissue: without contrast agent or PET much of a sarcoma has the HU of muscle.""",
    "MR": """- **It does not see the tumour yet**: with it painted out it finds one in every scan.
- It is not sure of anything: of all four held-out tumours the mean probability is below .9, so each would be a doubt.
- The training was stopped before its learning rate had fallen.
- MR has no unit, and these are of few scanners: another scanner's contrast was never seen.""",
}


def card(kind: Kind, folder: Path) -> str:
    """The card's text from what was evaluated and what is in the folder."""
    found = json.loads((folder / "evaluation.json").read_text())
    facts = json.loads((folder / "training.json").read_text())
    entry = find(kind.model_id)
    return TEMPLATE.read_text().format(
        model_id=kind.model_id,
        kind=kind.modality,
        scan=SCANS[kind.modality],
        values=VALUES[kind.modality],
        more=MORE[kind.modality],
        state="a candidate that is offered nowhere"
        if entry.candidate
        else "in force where a timepoint has nothing else",
        summary="\n".join(f"- {line}." for line in summary(found)),
        iterations=facts["done_iterations"],
        batch=facts["batch"],
        seconds=facts["took_seconds"],
        machine=facts["machine"],
        losses=", ".join(f"{row['loss']:.2f}" for row in facts["history"][-6:]),
        patients=len(facts["patients"]),
        held=len(found["held out"]),
        held_out=rows_table(found["held out"]),
        painted=rows_table(found["painted out"]),
        patch=facts["patch"],
        size=sum(file.stat().st_size for file in checkpoints(entry)) / 1e6,
        sha256=fingerprint(entry),
        began=facts["began_from"],
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kind", choices=sorted(KINDS), required=True)
    kind = KINDS[parser.parse_args().kind]
    folder = Path("weights") / kind.folder
    (folder / "README.md").write_text(card(kind, folder))


if __name__ == "__main__":
    main()
