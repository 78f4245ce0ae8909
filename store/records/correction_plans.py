"""What putting right will do, worked out in full before anything is done, and refused in words where it would lie.

Every function looks at the whole store's tables inside the write's transaction and gives a part of an entry's payload
(`store.ledger.putting_right` has its form). Who may ask for it, and whether they see the place, is asked before.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

from core.errors import StoreError
from core.imaging.reference_scan import reference_of
from core.remembered.untyped import JsonDict, JsonObject
from core.types import Scan
from store.database.connection import Reader, Row
from store.files import mask_files
from store.files.file_checks import file_hash
from store.ledger.batch import TABLES
from store.ledger.putting_right import OF_MASK
from store.ledger.stored_values import mask_of, scan_of
from store.records.withdrawals import marks_at

#: Statuses of jobs that may still write something.
UNDER_WAY = ("queued", "running")


class Place(NamedTuple):
    """A timepoint of a patient, whether it is there or not."""

    dataset: str
    patient_id: str
    timepoint: str

    def __str__(self) -> str:
        return f"{self.patient_id} on {self.timepoint}"

    @property
    def where(self) -> list[str]:
        """Patient and date, as the parameters of a query."""
        return [self.patient_id, self.timepoint]


class Move(NamedTuple):
    """A move of one timepoint or scan: its part of the payload, and what of the patient it takes along."""

    values: JsonDict
    mask_ids: list[str]
    file_names: list[str]


class Plans:
    """Plans of changes over all tables.

    Args:
        db: the whole database.
        root: the data root.
    """

    def __init__(self, db: Reader, root: Path) -> None:
        self._db, self._root = db, root

    def rows(self, table: str, place: Place, order: str) -> list[Row]:
        """The rows of a table at a place."""
        sql = f"SELECT * FROM {table} WHERE patient_id = ? AND timepoint = ? ORDER BY {order}"
        return self._db.query(sql, place.where)

    def scans(self, place: Place) -> list[Scan]:
        """The scans of a timepoint in order of import."""
        return [scan_of(row) for row in self.rows("scans", place, "seq, scan_id")]

    def masks(self, place: Place) -> list[Row]:
        """The rows of its mask versions by number."""
        return self.rows("masks", place, "version")

    def chosen(self, place: Place, scan_id: str | None) -> tuple[list[Scan], list[Scan]]:
        """The scans that are asked for (None: all), and those that stay.

        Raises:
            StoreError: if there is no such timepoint or scan, or masks lie on the grid of the one scan.
        """
        scans = self.scans(place)
        if not scans:
            raise StoreError(f"There is no timepoint of {place.patient_id!r} on {place.timepoint!r}.")
        if scan_id is None:
            return scans, []
        own, rest = ([s for s in scans if (s.scan_id == scan_id) is wanted] for wanted in (True, False))
        if not own:
            raise StoreError(f"There is no scan {scan_id!r} of {place}; there is {_list(s.scan_id for s in scans)}.")
        masks = self.masks(place)
        if masks and reference_of(scans).scan_id == scan_id:
            raise StoreError(
                f"{len(masks)} mask version(s) of {place} lie on the grid of {scan_id}, and would be left without it. "
                "Move or withdraw the whole timepoint."
            )
        return own, rest

    def move(self, source: Place, target: Place, scan_id: str | None, said: JsonObject) -> Move:
        """The move of a timepoint, or of one scan of it, to another date or patient.

        Args:
            said: reason, person and moved_at, for the sidecars.

        Raises:
            StoreError: where masks meet masks, masks would lie on another scan than they were drawn on, a file is not
                as it was stored, or readings are set up at the target.
        """
        own, rest = self.chosen(source, scan_id)
        there = self.scans(target)
        masks = [] if scan_id is not None else self.masks(source)
        self._refuse_other_grid(source, target, own, there, bool(masks))
        if not rest:
            self._refuse_two_readings(source, target)
        ids = _free_ids(own, there)
        names = self._files(source, own, masks)
        self._refuse_taken(target, own, ids, masks)
        came = {"from_patient_id": source.patient_id, "from_timepoint": source.timepoint}
        moved_scans = [
            {
                "scan_id": scan.scan_id,
                "to_scan_id": ids[scan.scan_id],
                "moved": [*map(dict, scan.moved), {**came, "from_scan_id": scan.scan_id, **said}],
            }
            for scan in own
        ]
        to_affirm = source.patient_id != target.patient_id and self._has_masks(target.patient_id)
        scores = [[row["score_id"] for row in self.rows("ood_scores", place, "seq")] for place in (source, target)]
        together = bool(rest or there)  # a verdict on other scans than lie together now says nothing of them
        values: JsonDict = {
            "timepoint": source.timepoint,
            "to_timepoint": target.timepoint,
            "scans": moved_scans,
            "masks": [_moved_mask(row, {**came, **said}, to_affirm) for row in masks],
            "score_ids": [] if together else scores[0],
            "stale_scores": [*scores[0], *scores[1]] if together else [],
            "empties": not rest,
        }
        return Move(values, [row["mask_id"] for row in masks], names)

    def _refuse_other_grid(
        self, source: Place, target: Place, own: Sequence[Scan], there: Sequence[Scan], with_masks: bool
    ) -> None:
        masks_there = self.masks(target)
        if with_masks and masks_there:
            raise StoreError(
                f"{target} has {len(masks_there)} mask version(s) already, and {source} has its own. Two readings are "
                "never mixed: withdraw one of the two timepoints, or choose another date."
            )
        order = [row["sha256"] for row in self._db.query("SELECT sha256 FROM scans ORDER BY seq, scan_id")]
        order += [scan.sha256 for scan in own if scan.sha256 not in order]  # what comes back was imported at some time
        together = sorted([*there, *own], key=lambda scan: order.index(scan.sha256))
        reference = reference_of(together)
        if masks_there and not any(reference is scan for scan in there):
            raise StoreError(
                f"{target} has {len(masks_there)} mask version(s) on the grid of {reference_of(there).scan_id}; "
                f"{reference.scan_id} of {source} would become the reference and leave them on the wrong grid."
            )
        if with_masks and reference is not reference_of(own):
            raise StoreError(
                f"The masks of {source} lie on the grid of {reference_of(own).scan_id}; with the scans of {target} "
                f"another one, {reference.scan_id}, would become the reference. Move or withdraw that one first."
            )

    def _refuse_two_readings(self, source: Place, target: Place) -> None:
        def some(place: Place) -> bool:
            return any(self.rows(table, place, "created_at") for table in ("reading_settings", "readings_finished"))

        if some(source) and some(target):
            raise StoreError(f"Readings are set up on both {source} and {target}. Choose another date.")

    def _files(self, place: Place, scans: Sequence[Scan], masks: Sequence[Row]) -> list[str]:
        """The image files of a place, each as it was stored; a mask may be lost. Raises StoreError if one is not."""
        names = [(scan.path, scan.sha256) for scan in scans]
        names += [(self._mask_file(place, row), row["mask_sha256"]) for row in masks if not self._is_lost(row)]
        for name, sha256 in names:
            if self._found(name) != sha256:
                raise StoreError(
                    f"A file of {place} ({name.rsplit('/')[-1]}) is not there as it was stored. Restore it from a "
                    "backup first, or withdraw the timepoint."
                )
        return [name for name, _ in names]

    def _found(self, name: str) -> str | None:
        """The SHA-256 of a file as it is. Raises StoreError if it cannot be read."""
        try:
            return file_hash(self._root / name)
        except OSError as error:
            raise StoreError(f"A file cannot be read ({error.strerror}). Mend its rights. Nothing was done.") from None

    def _mask_file(self, place: Place, row: Row) -> str:
        return f"{mask_files.processed_dir(*place)}/{mask_files.mask_name(row['version'])}"

    def _is_lost(self, row: Row) -> bool:
        return bool(self._db.query("SELECT 1 FROM mask_losses WHERE mask_id = ? AND lost", [row["mask_id"]]))

    def _refuse_taken(self, target: Place, scans: Sequence[Scan], ids: JsonObject, masks: Sequence[Row]) -> None:
        names = [f"{mask_files.raw_dir(*target)}/{ids[scan.scan_id]}.nii.gz" for scan in scans]
        names += [self._mask_file(target, row) for row in masks]
        for name in [part for image in names for part in (image, mask_files.sidecar_of(image))]:
            if (self._root / name).exists():
                raise StoreError(f"The file {name} is there already and is never overwritten. Run `verify`.")

    def _has_masks(self, patient_id: str) -> bool:
        return bool(self._db.query("SELECT 1 FROM masks WHERE patient_id = ? LIMIT 1", [patient_id]))

    def leftovers(self, patient_id: str, moves: Sequence[Move], *, to_another: bool) -> JsonDict:
        """What else follows from taking these masks away from a patient: lesions, stored forecasts, what was found of
        files; and whether the patient is gone."""
        mask_ids = [mask_id for move in moves for mask_id in move.mask_ids]
        days = {str(move.values["timepoint"]) for move in moves if move.values["empties"]}
        left = self._db.query("SELECT timepoint FROM timepoints WHERE patient_id = ?", [patient_id])
        gone = to_another and {row["timepoint"] for row in left} <= days
        return {
            "lesions": self.lesions(patient_id, mask_ids, arrive=True) if to_another else dict(_NO_LESIONS),
            "fits": self.fits(patient_id, mask_ids, every=gone),
            "file_states": self.file_states([name for move in moves for name in move.file_names]),
            "gone": gone,
        }

    def lesions(self, patient_id: str, mask_ids: Collection[str], *, arrive: bool = False) -> JsonDict:
        """The changes of a patient's lesions when these masks go; with `arrive` also what the other patient gets."""
        changes: JsonDict = {"out": [], "first": {}, "in": []}
        sql = (
            "SELECT m.mask_id FROM measurements v JOIN masks m ON m.mask_id = v.mask_id "
            "WHERE m.patient_id = ? AND v.lesion_id = ? ORDER BY m.created_at, m.mask_id"
        )
        for row in self._db.query("SELECT * FROM lesions WHERE patient_id = ? ORDER BY lesion_id", [patient_id]):
            if row["first_mask_id"] not in mask_ids:
                continue
            with_it = [r["mask_id"] for r in self._db.query(sql, [patient_id, row["lesion_id"]])]
            rest = [mask_id for mask_id in with_it if mask_id not in mask_ids]
            if rest:
                changes["first"][row["lesion_id"]] = rest[0]
            else:
                changes["out"].append(row["lesion_id"])
        if arrive:
            changes["in"] = self._arriving(mask_ids)
        return changes

    def _arriving(self, mask_ids: Collection[str]) -> list[JsonDict]:
        found: dict[str, JsonDict] = {}
        for mask_id in mask_ids:
            sql = "SELECT lesion_id, label FROM measurements WHERE mask_id = ? ORDER BY label"
            for row in self._db.query(sql, [mask_id]):
                found.setdefault(row["lesion_id"], {**row, "first_mask_id": mask_id})
        return list(found.values())

    def fits(self, patient_id: str, mask_ids: Collection[str], *, every: bool) -> list[str]:
        """Stored forecasts and fits that were made from these masks, or all of the patient."""
        rows = self._db.query("SELECT fit_id, result FROM growth_fits WHERE patient_id = ? ORDER BY seq", [patient_id])
        return [row["fit_id"] for row in rows if every or not set(mask_ids).isdisjoint(_masks_in(row["result"]))]

    def file_states(self, names: Sequence[str]) -> list[str]:
        """Of these files those of which something was recorded."""
        known = {row["path"] for row in self._db.query("SELECT path FROM file_states")}
        return [name for name in names if name in known]

    def withdrawal(self, place: Place, scan_id: str | None) -> JsonDict:
        """What leaves with a timepoint, or with one scan of it: rows, files, lesions, and whether the patient is gone.

        Raises:
            StoreError: as `chosen`.
        """
        own, rest = self.chosen(place, scan_id)
        whole = not rest
        masks = self.masks(place) if whole else []
        mask_ids = [row["mask_id"] for row in masks]
        scans = [row for row in self.rows("scans", place, "seq, scan_id") if row["scan_id"] in {s.scan_id for s in own}]
        days = self._db.query("SELECT timepoint FROM timepoints WHERE patient_id = ?", [place.patient_id])
        gone = whole and len(days) == 1
        lesions = self.lesions(place.patient_id, mask_ids)
        images = [(scan.path, scan.sha256) for scan in own]
        images += [(self._mask_file(place, row), row["mask_sha256"]) for row in masks]
        rows: JsonDict = {"scans": scans, "ood_scores": self.rows("ood_scores", place, "seq")}
        if whole:
            rows |= self._rows_of_timepoint(place, masks, gone)
            rows["lesions"] = self._named("lesions", "lesion_id", lesions["out"], place.patient_id)
        rows["growth_fits"] = self._named(
            "growth_fits", "fit_id", self.fits(place.patient_id, mask_ids, every=gone), place.patient_id
        )
        rows["file_states"] = [
            row
            for name in self.file_states([name for name, _ in images])
            for row in self._db.query("SELECT * FROM file_states WHERE path = ?", [name])
        ]
        files = [part for image, _ in images for part in (image, mask_files.sidecar_of(image))]
        return {
            "rows": {k: v for k, v in rows.items() if v},
            "files": files,
            "not_as_stored": [name.rsplit("/")[-1] for name, sha256 in images if self._found(name) != sha256],
            "lesions": lesions,
            "gone": gone,
        }

    def _rows_of_timepoint(self, place: Place, masks: Sequence[Row], gone: bool) -> JsonDict:
        rows: JsonDict = {"masks": list(masks)}
        rows["timepoints"] = self.rows("timepoints", place, "timepoint")
        for table in ("reading_settings", "readings_finished"):
            rows[table] = self.rows(table, place, "created_at")
        for table in OF_MASK:
            sql = f"SELECT * FROM {table} WHERE mask_id = ? ORDER BY {TABLES[table]}"
            rows[table] = [row for mask in masks for row in self._db.query(sql, [mask["mask_id"]])]
        rows["evidence_marks"] = marks_at(self._db, [mask["mask_id"] for mask in masks])
        if gone:
            for table in ("patients", "events", "protocols"):
                rows[table] = self._db.query(f"SELECT * FROM {table} WHERE patient_id = ?", [place.patient_id])
        return rows

    def _named(self, table: str, column: str, values: Sequence[str], patient_id: str) -> list[Row]:
        sql = f"SELECT * FROM {table} WHERE patient_id = ? AND {column} = ?"
        return [row for value in values for row in self._db.query(sql, [patient_id, value])]

    def to_affirm(self, patient_id: str, rows: JsonObject, since: str) -> list[str]:
        """Of masks that come back, the accepted ones, if the patient got other masks after `since`, when they were
        withdrawn: whoever numbered lesions then did not know of theirs."""
        masks = [mask_of(row) for row in self._db.query("SELECT * FROM masks WHERE patient_id = ?", [patient_id])]
        later = any(
            mask.created_at > since
            or any(move["moved_at"] > since and move["from_patient_id"] != patient_id for move in mask.moved)
            for mask in masks
        )
        return [row["mask_id"] for row in rows.get("masks", ()) if later and row["status"] == "accepted"]

    def refuse_return(self, place: Place, rows: JsonObject, whole: bool) -> None:
        """Refuse to put rows back where something else has come meanwhile. Raises StoreError."""
        known = self._db.query("SELECT dataset FROM patients WHERE patient_id = ?", [place.patient_id])
        if known and known[0]["dataset"] != place.dataset:
            raise StoreError(f"There is another patient {place.patient_id} now. Nothing was restored.")
        there = self.scans(place)
        if whole and there:
            raise StoreError(f"{place} was imported anew meanwhile: withdraw or move that timepoint first.")
        if not whole and not there:
            raise StoreError(f"The timepoint of {place} is not there any more, so its scan cannot go back to it.")
        for row in rows["scans"]:
            sql = "SELECT patient_id, timepoint FROM scans WHERE content_sha256 = ?"
            if self._db.query(sql, [row["content_sha256"]]):
                raise StoreError(
                    f"The image {row['scan_id']} of {place} was imported again meanwhile. Withdraw that one."
                )
            if any(scan.scan_id == row["scan_id"] for scan in there):
                raise StoreError(f"There is another {row['scan_id']} of {place} now. Move or withdraw it first.")
        own = [scan_of(row) for row in rows["scans"]]
        self._refuse_other_grid(place, place, own, there, False)

    def refuse_under_way(self, place: Place) -> None:
        """Refuse while a job that could write there is under way; without a date, anywhere of the patient. Raises
        StoreError."""
        marks = ", ".join("?" * len(UNDER_WAY))
        for row in self._db.query(f"SELECT kind, params, status FROM jobs WHERE status IN ({marks})", UNDER_WAY):
            params = json.loads(row["params"])
            at = place if place.timepoint else place.patient_id
            here = not place.timepoint or params.get("timepoint") in (None, place.timepoint)
            if params.get("patient_id") == place.patient_id and here:
                raise StoreError(
                    f"A job ({row['kind']}) on {at} is {row['status']}. Wait until it has ended, or cancel it; one "
                    "that a stopped server left ends when the dashboard is next started."
                )


_NO_LESIONS: JsonDict = {"out": [], "first": {}, "in": []}


def _moved_mask(row: Row, came: JsonObject, to_affirm: bool) -> JsonDict:
    """A mask's part of a move. One that was accepted waits for a person where its lesion numbers may mean others."""
    record = mask_of(row)
    doubted = to_affirm and record.status == "accepted"
    return {
        "mask_id": record.mask_id,
        "version": record.version,
        "status": "proposed" if doubted else record.status,
        "to_affirm": doubted,
        "moved": [*map(dict, record.moved), dict(came)],
    }


def _free_ids(scans: Sequence[Scan], there: Sequence[Scan]) -> dict[str, str]:
    """The ids of scans beside others: their own, or the next free number."""
    used, out = {scan.scan_id for scan in there}, {}
    for scan in scans:
        base = "-".join(part for part in (scan.modality, scan.sequence) if part)
        number, scan_id = 1, scan.scan_id
        while scan_id in used:
            number += 1
            scan_id = f"{base}-{number}"
        used.add(scan_id)
        out[scan.scan_id] = scan_id
    return out


def _masks_in(result: str) -> list[str]:
    masks = json.loads(result).get("masks", [])
    return [mask for mask in masks if isinstance(mask, str)] if isinstance(masks, list) else []


def _list(names: object) -> str:
    return ", ".join(map(str, names)) or "none"  # type: ignore[call-overload]
