"""The measures of a mask version as a table: one row a lesion, for the page and for a CSV file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from core.remembered.judgements import GateVerdict
from core.remembered.untyped import JsonDict, JsonObject, TableRow
from core.review.doubts import doubts_among
from core.review.scan_measures import ScanMeasure, VersionMeasures
from core.types import MM3_PER_ML, MaskRecord

_EDGES = (
    "Edge to edge of voxels: of small lesions 0.4 to 0.8 pixels too long (measured on balls of known size). It is not "
    "corrected; RECIST's 5 mm of least rise allow for it."
)
#: What each measure is, by the last words of its column.
DEFINITIONS: Mapping[str, str] = {
    "Volume (mL)": "Voxels of the lesion times the volume of a voxel.",
    "Longest (mm)": f"Longest diameter in a slice nearest to axial, added up over pieces that lie apart. {_EDGES}",
    "Short axis (mm)": "Longest unbroken chord at right angles to the longest diameter; of nodes RECIST's measure.",
    "3-D (mm)": "Longest diameter in any direction; about a voxel too long, and more where slices are thick.",
    "Slices": "Slices nearest to axial that hold some of it.",
    "Network": "How sure the network was that drew it: the mean of its probability over the lesion's voxels, 0 to 1.",
    "SUVmax": "The highest voxel, SUV by body weight (g/mL).",
    "SUVpeak": "The highest mean of a sphere of 1 mL around any voxel of the lesion (PERCIST); it may reach beyond it.",
    "SUVmean": "Mean of all voxels of the lesion; no threshold.",
    "MTV (mL)": "Metabolic volume: the volume of this mask on the PET; no threshold.",
    "TLG (g)": "Total lesion glycolysis: SUVmean x MTV.",
    "SULpeak": "SUVpeak by lean mass (Janmahasatian 2005), where weight, height and sex are known with the PET.",
    "mean": "Mean of the voxels of the lesion.",
    "SD": "Standard deviation of the voxels of the lesion (divided by n).",
    "median": "Half of the voxels lie below it.",
    "P5": "5 % of the voxels lie below it.",
    "P25": "25 % of the voxels lie below it.",
    "P75": "75 % of the voxels lie below it.",
    "P95": "95 % of the voxels lie below it.",
}
_PART_HELP = "Volume of this compartment, as the network told it; “not told” is what a person drew beside it."


def measure_rows(record: MaskRecord, measures: VersionMeasures) -> list[TableRow]:
    """One row a lesion, all with the same columns; None where something is not known."""
    lesion_of = {int(lesion["label"]): str(lesion["lesion_id"]) for lesion in record.lesions}
    sure = {int(lesion["label"]): lesion.get("mean_probability") for lesion in record.lesions}
    told = any(mean is not None for mean in sure.values())
    parts = {str(part["name"]): None for one in measures.lesions for part in one.compartments}
    rows: list[TableRow] = []
    for one in measures.lesions:
        row: JsonDict = {
            "Lesion": lesion_of.get(one.label, one.lesion_id),
            "Volume (mL)": one.volume_mm3 / MM3_PER_ML,
            "Longest (mm)": one.longest_diameter_mm,
            "Short axis (mm)": one.short_axis_mm,
            "3-D (mm)": one.longest_diameter_3d_mm,
            "Slices": one.slices,
        }
        row |= {"Network": sure.get(one.label)} if told else {}
        for scan in measures.on(one.label):
            row |= _on_scan(scan)
        row |= {f"{name} (mL)": _part_ml(one.compartments, name) for name in parts}
        rows.append(row)
    return rows


def _on_scan(scan: ScanMeasure) -> dict[str, float | None]:
    if scan.is_pet:
        found = scan.uptake
        return {
            f"{scan.channel} SUVmax": None if found is None else found.suv_max,
            f"{scan.channel} SUVpeak": scan.suv_peak,
            f"{scan.channel} SUVmean": None if found is None else found.suv_mean,
            f"{scan.channel} MTV (mL)": scan.mtv_ml,
            f"{scan.channel} TLG (g)": scan.tlg_g,
            f"{scan.channel} SULpeak": scan.sul_peak,
        }
    names = {"mean": "mean", "SD": "sd", "median": "median", "P5": "p5", "P25": "p25", "P75": "p75", "P95": "p95"}
    seen = scan.seen
    return {
        f"{scan.channel} {words} ({scan.unit})": None if seen is None else getattr(seen, name)
        for words, name in names.items()
    }


def _part_ml(compartments: tuple[JsonObject, ...], name: str) -> float | None:
    """0 mL of what is not told is none of it; a lesion of which nothing was told has no compartment at all."""
    if not compartments:
        return None
    return next((float(one["volume_mm3"]) / MM3_PER_ML for one in compartments if one["name"] == name), 0.0)


def definition(column: str) -> str:
    """What a column says, for people; "" for the lesion's name."""
    bare = column.split(" (")[0]
    fits = [text for name, text in DEFINITIONS.items() if column == name or column.endswith(f" {name}")]
    fits += [text for name, text in DEFINITIONS.items() if bare.endswith(f" {name}")]
    return fits[0] if fits else "" if column == "Lesion" else _PART_HELP


def not_known(record: MaskRecord, measures: VersionMeasures) -> list[str]:
    """What is not known or in doubt, each sentence once with the lesions that it is of."""
    lesion_of = {int(lesion["label"]): str(lesion["lesion_id"]) for lesion in record.lesions}
    of: dict[tuple[str, str], list[str]] = {}
    for scan in measures.scans:
        for sentence in scan.why:
            of.setdefault((scan.channel, sentence), []).append(lesion_of.get(scan.label, f"L{scan.label}"))
    every = len(measures.lesions)
    return [
        f"{channel}, {'every lesion' if len(lesions) == every else ', '.join(lesions)}: {sentence}"
        for (channel, sentence), lesions in of.items()
    ]


def csv_rows(record: MaskRecord, measures: VersionMeasures, verdicts: Sequence[GateVerdict] = ()) -> list[TableRow]:
    """The table with what it is of and what the gates say of it, as a file has to say it."""
    about: TableRow = {
        "Patient": record.patient_id,
        "Timepoint": record.timepoint,
        "Version": record.version,
        "Status": record.status,
        "Mask SHA-256": record.mask_sha256,
    }
    said = " ".join(not_known(record, measures))
    doubts = " ".join(verdict.words for verdict in doubts_among(verdicts))
    return [{**about, **row, "Doubts": doubts, "Not known": said} for row in measure_rows(record, measures)]
