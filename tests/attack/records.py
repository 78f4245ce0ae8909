"""Doors of what is remembered: a data root that somebody changed behind TwinReview's back."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path

from tests.attack.door import Door, Opened, Skipped, cli
from tests.attack.scene import FIRST, PATIENT, SECOND, ball, copy_of_scene, mask_file, points, statuses


def _refused_or_newer(root: Path, newer: dict[str, str]) -> str:
    """A store beside a newer history either refuses or tells the newer history; never the older."""
    ran = cli(root, "masks", PATIENT, "--json")
    if ran.status == 0 and statuses(root) != newer:
        raise Opened(f"it opens and says {statuses(root)}")
    said = ran.text if ran.status else "it tells the newer history"
    cli(root, "rebuild", status=0)
    if statuses(root) != newer:
        raise Opened(f"after rebuild it says {statuses(root)}: the newer decisions are gone")
    return said


def _old_database(folder: Path) -> str:
    root = copy_of_scene(folder)
    shutil.copy(root / "twin.duckdb", folder / "old.duckdb")
    cli(root, "withdraw", PATIENT, SECOND, "1", "--reason", "withdrawn-error", status=0)
    newer = statuses(root)
    shutil.copy(folder / "old.duckdb", root / "twin.duckdb")
    (root / "twin.duckdb.wal").unlink(missing_ok=True)
    return _refused_or_newer(root, newer)


def _both_lost(folder: Path) -> str:
    root = copy_of_scene(folder)
    before, curve = statuses(root), points(root)
    for name in ("twin.duckdb", "twin.duckdb.wal", "audit.jsonl", "heads.jsonl"):
        (root / name).unlink(missing_ok=True)
    ran = cli(root, "masks", PATIENT)
    if ran.status == 0:
        raise Opened("a new, empty store was opened over the files")
    cli(root, "rebuild", status=0)
    if statuses(root) != before or points(root) != curve:
        raise Opened(f"after rebuild: {statuses(root)}")
    cli(root, "verify", status=0)
    return f"refused; rebuild brought everything back, decisions too: {ran.err}"


def _everything_but_sidecars_lost(folder: Path) -> str:
    """No history is left at all, and a sidecar was edited to "accepted"."""
    root = copy_of_scene(folder)
    cli(root, "withdraw", PATIENT, SECOND, "1", "--reason", "withdrawn-error", status=0)
    for path in [*root.glob("*.jsonl"), *root.glob("twin.duckdb*"), *root.rglob("ledger.jsonl")]:
        path.unlink()
    sidecar = mask_file(root).with_name("mask_v001.json")
    sidecar.write_text(json.dumps({**json.loads(sidecar.read_text()), "status": "accepted"}, indent=2))
    cli(root, "rebuild", status=0)
    if points(root):
        raise Opened(f"{len(points(root))} volumes are in the curve, accepted by nobody")
    return "scans and masks are back, none of them counts before a person affirms it"


def _damaged(seed: int) -> Callable[[Path], str]:
    def attempt(folder: Path) -> str:
        root, at = copy_of_scene(folder), random.Random(seed)
        before, database = statuses(root), root / "twin.duckdb"
        size = database.stat().st_size
        with database.open("r+b") as file:
            file.seek(at.randrange(size - 64))
            file.write(at.randbytes(64))
        ran = cli(root, "verify")
        if "another process" in ran.text or "Something went wrong" in ran.text:
            raise Opened(f"the damage is told as something else: {ran.text}")
        cli(root, "rebuild", status=0)
        if statuses(root) != before:
            raise Opened(f"after rebuild: {statuses(root)}")
        return ran.text

    return attempt


def _other_mask(folder: Path) -> str:
    """An accepted mask's file is replaced by another valid one, and the next version is made from it."""
    root = copy_of_scene(folder)
    shutil.copy(ball(folder / "other.nii.gz", 12), mask_file(root))
    ran = cli(root, "refine", PATIENT, SECOND, "--scan", "CT", "--box", "10", "12", "12", "26", "26")
    if ran.status == 0:
        raise Opened("a new version was built upon the replaced file")
    kept = [timepoint for timepoint, _ in points(root)]
    if SECOND in kept:
        raise Opened("the replaced mask's volume is still in the curve")
    return ran.err


def _other_scan(folder: Path) -> str:
    root = copy_of_scene(folder)
    scans = sorted((root / "raw" / "clinic" / PATIENT).rglob("CT.nii.gz"))
    shutil.copy(scans[0], scans[1])
    ran = cli(root, "refine", PATIENT, SECOND, "--scan", "CT", "--box", "10", "12", "12", "26", "26")
    if ran.status == 0:
        raise Opened("the replaced scan was read and segmented")
    return ran.err


def _lost_mask(folder: Path) -> str:
    root = copy_of_scene(folder)
    mask_file(root).unlink()
    ran = cli(root, "import-mask", PATIENT, SECOND, str(ball(folder / "next.nii.gz", 8)))
    if str(root) in ran.text:
        raise Opened(f"the server's path is shown: {ran.text}")
    marked = cli(root, "lost", PATIENT, SECOND, "1", "--reason", "disk-failed")
    if marked.status != 0:
        raise Opened(f"it cannot be marked lost: {marked.text}")
    cli(root, "import-mask", PATIENT, SECOND, str(ball(folder / "after.nii.gz", 9)), status=0)
    return "marked lost with a reason; the next version was made without it"


def _forged_journal(folder: Path) -> str:
    root = copy_of_scene(folder)
    treasure = folder / "treasure.txt"
    treasure.write_text("keep")
    entry = {
        "seq": 99,
        "created_at": "2024-01-01T00:00:00.000000Z",
        "person": "demo",
        "action": "mask.added",
        "payload": {},
        "prev_hash": "0" * 64,
        "hash": "0" * 64,
    }
    (root / "journal.json").write_text(json.dumps({"entry": entry, "files": ["../treasure.txt", str(treasure)]}))
    ran = cli(root, "masks", PATIENT)
    if not treasure.exists():
        raise Opened("a file outside the data root was moved")
    return ran.text if ran.status else "ignored"


def _rewritten(entries: list[dict[str, object]]) -> list[dict[str, object]]:
    """The same history, with every hash made anew: what somebody with the file and this source can do."""
    previous, out = "0" * 64, []
    for entry in entries:
        body = {key: entry[key] for key in ("seq", "created_at", "person", "action", "payload")}
        body["prev_hash"] = previous
        text = json.dumps(body, sort_keys=True, separators=(",", ":"))
        previous = hashlib.sha256(text.encode()).hexdigest()
        out.append({**entry, "prev_hash": body["prev_hash"], "hash": previous})
    return out


def _rewritten_chain(folder: Path) -> str:
    """All of the history is written anew with another reviewer, everywhere; the key is not known to the attacker."""
    root, key = copy_of_scene(folder), "a key that is kept elsewhere, 32 letters"
    signed = cli(root, "audit", "sign", TWIN_AUDIT_KEY=key)
    if signed.status != 0:
        raise Opened(f"heads cannot be signed: {signed.text}")
    cli(root, "verify", status=0, TWIN_AUDIT_KEY=key)
    entries = [json.loads(line) for line in (root / "audit.jsonl").read_text().splitlines()]
    for entry in entries:
        if entry["action"] == "mask.decided":
            entry["payload"]["decision"]["comment"] = "forged"
    forged = _rewritten(entries)
    (root / "audit.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in forged))
    by_seq = {entry["seq"]: json.dumps(entry) for entry in forged}
    for ledger in root.rglob("ledger.jsonl"):
        lines = [by_seq[json.loads(line)["seq"]] for line in ledger.read_text().splitlines()]
        ledger.write_text("\n".join(lines) + "\n")
    for path in root.glob("twin.duckdb*"):
        path.unlink()
    cli(root, "rebuild", TWIN_AUDIT_KEY=key)
    ran = cli(root, "verify", TWIN_AUDIT_KEY=key)
    if ran.status == 0:
        raise Opened("the rewritten history verifies clean with the key")
    return ran.text


def _mistyped(folder: Path) -> str:
    for verb in (("verify",), ("masks", PATIENT), ("growth", PATIENT), ("similar", PATIENT, FIRST, "1")):
        ran = cli(folder / "dta", *verb)
        if ran.status == 0 or (folder / "dta").exists():
            raise Opened(f"{verb[0]} made a new store in a folder that was mistyped")
    return ran.err


def _json_errors(folder: Path) -> str:
    root = copy_of_scene(folder)
    for words in (("masks", "NOBODY", "--json"), ("accept", PATIENT, FIRST, "9", "--reason", "agrees", "--json")):
        ran = cli(root, *words)
        try:
            said = json.loads(ran.out)["error"]
        except (ValueError, KeyError, TypeError):
            raise Opened(f"{words[0]} --json prints {ran.out[:60]!r} on an error") from None
    return str(said)


def _altered_plans(folder: Path) -> str:
    from weights import registry

    home = folder / "weights"
    shutil.copytree(registry.HERE, home, ignore=shutil.ignore_patterns("__pycache__", "recipes"))
    plans = home / "sts_ctpet_small" / "plans.json"
    values = json.loads(plans.read_text())
    values["foreground_intensity_properties_per_channel"]["0"]["mean"] += 500
    plans.write_text(json.dumps(values))
    from dataclasses import replace

    entry = replace(registry.find("sts-ctpet-small"), root=home)
    if registry.status(entry) != "altered":
        raise Opened(f"the model is {registry.status(entry)!r} after its plans.json was changed")
    return "the model is told as altered, and is not loaded"


def _read_only(folder: Path) -> str:
    import subprocess

    root = copy_of_scene(folder)
    mounted = subprocess.run(["mount", "--bind", "-o", "ro", str(root), str(root)], capture_output=True, check=False)
    if mounted.returncode != 0:
        raise Skipped("a folder cannot be mounted read-only here")
    subprocess.run(["mount", "-o", "remount,ro,bind", str(root)], capture_output=True, check=False)
    try:
        ran = cli(root, "masks", PATIENT, "--json")
        if ran.status != 0:
            raise Opened(f"looking is refused: {ran.text}")
        written = cli(root, "withdraw", PATIENT, SECOND, "1", "--reason", "withdrawn-error")
        if written.status == 0 or "rebuild" in written.text:
            raise Opened(f"wrong advice for a folder that cannot be written: {written.text}")
        return written.err
    finally:
        subprocess.run(["umount", str(root)], capture_output=True, check=False)


DOORS = [
    Door("Records", "an old database beside a newer audit file", _old_database),
    Door("Records", "database and audit file both lost", _both_lost),
    Door("Records", "all history lost, a sidecar edited to accepted", _everything_but_sidecars_lost),
    *[Door("Records", f"64 random bytes of the database damaged ({seed})", _damaged(seed)) for seed in range(6)],
    Door("Records", "an accepted mask's file replaced by another mask", _other_mask),
    Door("Records", "a scan's file replaced by another scan", _other_scan),
    Door("Records", "a mask's file missing", _lost_mask),
    Door("Records", "a forged journal that names files outside", _forged_journal),
    Door("Records", "the whole history written anew, heads signed", _rewritten_chain),
    Door("Records", "a mistyped data folder", _mistyped),
    Door("Records", "a data folder that cannot be written", _read_only),
    Door("Records", "errors of --json", _json_errors),
    Door("Records", "a shipped model's plans.json changed", _altered_plans),
]
