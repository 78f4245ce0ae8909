"""Every forecast on real lesions: hold-outs of the last scans, and by horizon, against the last value carried forward.

`GROWTH_FILE` names another file with the columns of Laleh 2022 (default: ../shared/data/growth/laleh2022_dev.csv).
Widths, interval score and CRPS are in units of log volume; "skill" has its 95 % bootstrap interval.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from core.growth.backtest import backtest_file
from tests.bench import shared_data

TITLE = "Growth: what would have been said, and what came"


def run() -> list[dict[str, Any]]:
    """One row a method and case."""
    path = Path(os.environ.get("GROWTH_FILE", shared_data() / "growth" / "laleh2022_dev.csv"))
    answer = backtest_file(path)
    rows = []
    words = {"holdout": "last {} held out", "horizon_weeks": "{} weeks ahead", "next_scan": "next scan, {}"}
    for section, word in words.items():
        for case, table in answer[section].items():
            for method, f in table.items():
                rows.append(
                    {
                        "case": word.format(case),
                        "method": method,
                        "n": f["n"],
                        "APE %": f["median_ape_percent"],
                        "log error": f["mean_abs_log_error"],
                        "cover 50": f["coverage_50"],
                        "cover 80": f["coverage_80"],
                        "cover 95": f["coverage_95"],
                        "width 80": f["width_80"],
                        "interval score": f["interval_score_80"],
                        "CRPS": f["crps"],
                        "skill": f["skill_vs_locf"],
                        "from": f["skill_low"],
                        "to": f["skill_high"],
                        "ms": f["milliseconds"],
                    }
                )
    return rows
