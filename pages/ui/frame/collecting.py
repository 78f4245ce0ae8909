"""How often the server looks for garbage: seldom, as its lists are made of many small values that all stay."""

from __future__ import annotations

import gc

#: New objects until the youngest are looked at (Python's own: 700), and rounds of one age until the next is.
THRESHOLDS = (20_000, 20, 50)


def collect_rarely() -> None:
    """Sets what is loaded already aside for good, and looks at the rest seldom; for the whole process.

    With Python's own numbers a fifth of a cohort's time goes into looking again and again at rows that are all in
    use (`make bench ARGS=grown` tells both). Only circles of references wait longer; all else is freed at once as ever.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
