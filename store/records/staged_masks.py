"""A mask version whose file is written, before the change that puts it in its place."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from core.errors import InputError
from core.imaging.volumes import write_nifti
from core.remembered.compartments import Compartments, to_comment
from core.remembered.judgements import JUDGEMENT
from core.remembered.links import LinkProposal
from core.remembered.rows import LesionVector
from core.remembered.untyped import JsonDict, JsonObject
from core.remembered.vocabulary import MASK_GATE_VERDICTS
from core.types import FORMAT_VERSION, LabelMap, LesionMeasure, MaskRecord, Scan
from core.version import software
from store.files import mask_files
from store.ledger.linking import link_rows
from store.values import check_judgement, check_one_of, plain, vector_values


class Making(NamedTuple):
    """Who and what made a version."""

    method: str
    author: str
    model_checkpoint: str | None = None
    checkpoint_sha256: str | None = None
    model_files: Mapping[str, str] | None = None
    prompts: tuple[JsonObject, ...] = ()


class StagedMask(NamedTuple):
    """A version without its place.

    Args:
        difference: what it has more and less than the version that it was made from (`mask_files.version_diff`).
        scored: the parts of its entry beside its sidecar: "vectors", "verdict" and "links".
        image: its file.
    """

    made: Making
    volume_mm3: float
    sha256: str
    lesions: tuple[JsonObject, ...]
    difference: JsonDict
    scored: JsonDict
    image: Path

    def record(self, patient_id: str, timepoint: str, version: int, reference: Scan, at: str) -> MaskRecord:
        """Its record, proposed, without a parent."""
        made = self.made
        return MaskRecord(
            mask_id=str(uuid.uuid4()),
            patient_id=patient_id,
            timepoint=timepoint,
            version=version,
            parent_version=None,
            method=made.method,
            model_checkpoint=made.model_checkpoint,
            prompts=made.prompts,
            author=made.author,
            status="proposed",
            created_at=at,
            volume_mm3=self.volume_mm3,
            scan_sha256=reference.sha256,
            mask_sha256=self.sha256,
            checkpoint_sha256=made.checkpoint_sha256,
            lesions=self.lesions,
            software=software(),
            format_version=FORMAT_VERSION,
            model_files=None if made.model_files is None else dict(made.model_files),
            **self.difference,
        )

    def placed(self, record: MaskRecord, path: str) -> tuple[JsonDict, list[tuple[Path, str]]]:
        """The payload of its entry, and its files with their places."""
        values = record.to_json()
        text = mask_files.sidecar_text(values)
        sidecar = mask_files.write_synced(self.image.with_name(f"{self.image.name}.json"), text)
        return {**values, **self.scored}, [(self.image, path), (sidecar, mask_files.sidecar_of(path))]


def staged_mask(
    labels: LabelMap,
    made: Making,
    before: LabelMap | None,
    lesions: Sequence[LesionMeasure],
    vectors: Sequence[LesionVector],
    verdict: JsonObject | None,
    folder: Path,
    name: str,
    links: Sequence[LinkProposal] = (),
    compartments: Compartments | None = None,
) -> StagedMask:
    """A mask checked against its measurements and written into `folder`.

    Args:
        labels: on the very grid of its timepoint's reference scan.
        before: the version that it was made from.
        links: which lesions its labels are, as matching proposes; () where nothing was matched.
        compartments: which part of its lesion each voxel is; they go into the mask's own file.

    Raises:
        InputError: if a measurement, vector, verdict or link does not fit the mask.
    """
    measured = mask_files.lesion_values(labels, lesions)
    scored = scored_parts([str(lesion["lesion_id"]) for lesion in measured], vectors, verdict)
    if links:
        scored["links"] = link_rows(links, [int(lesion["label"]) for lesion in measured])
    difference: JsonDict = mask_files.version_diff(labels, before)
    image = folder / f"{name}.nii.gz"
    comment = None if compartments is None else to_comment(compartments, labels)
    sha256 = write_nifti(image, np.asarray(labels.array), labels.grid, comment=comment)
    if "verdict" in scored:  # the gate saw it before it was a file
        scored["verdict"] = with_mask_seen(scored["verdict"], sha256)
    return StagedMask(made, labels.volume_mm3, sha256, tuple(measured), difference, scored, image)


def with_mask_seen(verdict: JsonDict, mask_sha256: str) -> JsonDict:
    """A verdict ("result": what the gate says) whose judgement, where it has one, names the mask's file as seen."""
    result = verdict["result"]
    if JUDGEMENT not in result:
        return verdict
    said = result[JUDGEMENT]
    seen = list(dict.fromkeys([mask_sha256, *said.get("seen", ())]))
    return {**verdict, "result": {**result, JUDGEMENT: {**said, "seen": seen}}}


def scored_parts(lesion_ids: Sequence[str], vectors: Sequence[LesionVector], verdict: JsonObject | None) -> JsonDict:
    """The parts of a version's entry beside its sidecar: "vectors" and "verdict", each only where it is given."""
    rows = [vector_values(row.lesion_id, row.vector, row.names) for row in vectors]
    if rows and sorted(row["lesion_id"] for row in rows) != sorted(lesion_ids):
        raise InputError(f"Expected one shape vector for each lesion of the mask ({', '.join(lesion_ids)}), or none.")
    out: JsonDict = {"vectors": rows} if rows else {}
    if verdict is not None:
        check_one_of("verdict of the mask gate", verdict.get("verdict"), MASK_GATE_VERDICTS)
        check_judgement(verdict)
        out["verdict"] = {"anomaly_id": str(uuid.uuid4()), "result": plain(dict(verdict), "verdict")}
    return out
