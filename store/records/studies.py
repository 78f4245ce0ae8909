"""Studies: scans of one patient and day, and masks that came with them, stored as one change."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from core.errors import GeometryError
from core.imaging.reference_scan import reference_of
from core.remembered.incoming import NewMask, NewScan, StoredStudy
from core.remembered.untyped import JsonDict
from core.remembered.vocabulary import MaskMethod
from core.types import Grid, LabelMap, Scan
from store.files import mask_files
from store.ledger.compound import STUDY
from store.ledger.writing import Change, LedgerBase
from store.records.masks import Masks
from store.records.scans import ScanPlace, Scans, StagedScan
from store.records.staged_masks import Making, StagedMask, staged_mask
from store.values import check_one_of, check_person, plain


class Studies:
    """The one way by which several things come in together."""

    def __init__(self, ledger: LedgerBase, scans: Scans, masks: Masks) -> None:
        self._ledger, self._scans, self._masks = ledger, scans, masks

    def add(
        self,
        scans: Sequence[NewScan],
        masks: Sequence[NewMask],
        *,
        dataset: str,
        patient_id: str,
        timepoint: str,
        person: str,
    ) -> StoredStudy:
        """Store scans of one timepoint, and masks on the grid of its reference scan: all of them or none.

        Args:
            scans: at least one.
            masks: versions without a parent, in the order of their numbers; each proposed.

        Raises:
            InputError, StoreError: as `Scans.add`.
            GeometryError: if a mask is not on the grid of what is the timepoint's reference scan then.
        """
        check_person(person)
        place = ScanPlace(dataset, patient_id, timepoint)
        with mask_files.staging(self._ledger.root) as folder:
            images = [self._scans.staged(scan, place, folder, f"scan{n}") for n, scan in enumerate(scans)]
            drawn = [_staged(mask, person, folder, f"mask{n}") for n, mask in enumerate(masks)]

            def build(at: str) -> Change:
                return self._change(place, person, at, images, list(zip(masks, drawn, strict=True)))

            payload = self._ledger.write(STUDY, person, build)["payload"]
        return StoredStudy(
            tuple(Scan.from_json(values) for values in payload["scans"]),
            tuple(self._masks.by_id(values["mask_id"]) for values in payload["masks"]),
        )

    def _change(
        self,
        place: ScanPlace,
        person: str,
        at: str,
        images: Sequence[StagedScan],
        drawn: Sequence[tuple[NewMask, StagedMask]],
    ) -> Change:
        present = self._scans.of(place.patient_id, place.timepoint)
        grids: dict[str, Grid] = {}
        new: list[JsonDict] = []
        files: list[tuple[Path, str]] = []
        for image in images:
            scan, values, placed = self._scans.placed(image, place, person, at, present)
            present.append(scan)
            grids[scan.scan_id] = image.grid
            new.append(values)
            files += placed
        versions: list[JsonDict] = []
        if drawn:
            reference = reference_of(present)
            grid = grids.get(reference.scan_id) or self._scans.reference_grid(place.patient_id, place.timepoint)
            first = self._masks.next_version(place.patient_id, place.timepoint)
            home = mask_files.processed_dir(*place)
            for number, (mask, staged) in enumerate(drawn):
                if not mask.labels.grid.matches(grid):
                    raise GeometryError(
                        f"Expected a mask on the grid of {reference.scan_id}, on which this timepoint's masks lie, got "
                        "another. Take that scan as well, or leave the mask out."
                    )
                record = staged.record(place.patient_id, place.timepoint, first + number, reference, at)
                values, placed = staged.placed(record, f"{home}/{mask_files.mask_name(record.version)}")
                versions.append(values)
                files += placed
        return Change({**place._asdict(), "scans": new, "masks": versions}, files)


def _staged(mask: NewMask, person: str, folder: Path, name: str) -> StagedMask:
    prompts = tuple(plain(list(mask.prompts), "prompts"))
    made = Making(check_one_of("method", mask.method, MaskMethod), person, prompts=prompts)
    labels = LabelMap(mask.labels.array, mask.labels.grid)
    return staged_mask(labels, made, None, mask.lesions, mask.vectors, mask.verdict, folder, name, mask.links)
