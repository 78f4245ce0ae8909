"""Side-by-side measurements: a file bench_<name>.py each, with a title docstring and `run() -> list[dict]` (rows)."""
