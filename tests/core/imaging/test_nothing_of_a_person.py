"""Every attribute of the DICOM dictionary, and every free field of the other formats, filled with a secret: none of it
is in a byte that is stored, printed or logged. PS3.15's profile (table E.1-1) names some 450 of these attributes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pydicom
import pytest
from dicognito.anonymizer import Anonymizer
from pydicom import Dataset
from pydicom.datadict import DicomDictionary, RepeatersDictionary, tag_for_keyword
from pydicom.uid import UID

from core.errors import TwinReviewError
from core.imaging.dicom import read_series
from core.imaging.identifiers import KEYWORDS as UIDS
from core.imaging.scanner_facts import permitted_facts
from store import open_store
from tests.dicom_phantom import activity_tags, write_series

HOME = Path(__file__).resolve().parents[3]
DAY = "2024-03-05"
#: By what a field can hold. The number is a birth date and no date of the series.
NAME, NUMBER, SECRET_UID = "ZQX^JANE", "19510203", "1.2.826.951.19510203"
SECRETS = ("ZQX", "JANE", "19510203", "1951-02-03", "1.2.826.951")
_TEXT = {"AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UT"}
_BY_VR: dict[str, Any] = {
    **dict.fromkeys(_TEXT, NAME),
    "DA": NUMBER,
    "DT": f"{NUMBER}101010",
    "TM": "195102.03",
    "AS": "951Y",
    "IS": NUMBER,
    "DS": NUMBER,
    "UI": SECRET_UID,
    "UR": f"http://{NAME}",
    **dict.fromkeys(("FL", "FD"), 19510203.0),
    **dict.fromkeys(("UL", "SL"), 19510203),
    **dict.fromkeys(("OB", "UN", "OW", "OF"), NAME.encode() * 8),  # GDCM does not read OD, OL, OV, SV and UV
}
#: What makes the file one that can be read; each is filled on its own below.
_NEEDED = {
    *("SOPClassUID", "Modality", "ImageType", "Rows", "Columns", "NumberOfFrames", "SamplesPerPixel"),
    *("PhotometricInterpretation", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PixelSpacing"),
    *("PlanarConfiguration", "ImagePositionPatient", "ImageOrientationPatient", "RescaleSlope", "RescaleIntercept"),
    *("PixelData", "FloatPixelData", "DoubleFloatPixelData", "PixelDataProviderURL", "ModalityLUTSequence"),
    *("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence", "TimezoneOffsetFromUTC"),
    *("StudyDate", "SeriesDate", "AcquisitionDate", "SeriesTime", "AcquisitionTime", "LossyImageCompression"),
    *("Units", "SUVType", "PatientWeight", "RadiopharmaceuticalInformationSequence", "CorrectedImage"),
    *("RadiopharmaceuticalStartDateTime", "RadiopharmaceuticalStopDateTime", "RadiopharmaceuticalStopTime"),
    *("PixelPaddingValue", "PixelPaddingRangeLimit", "DecayCorrection", "SpecificCharacterSet", *UIDS),
}


def _value(vr: str, vm: str) -> Any:
    value = _BY_VR.get(vr)
    several = vm[0].isdigit() and vm[0] != "1" and vr not in ("OB", "OW", "UN")
    return value if value is None or not several else [value] * int(vm.split("-")[0])


def _fill(ds: Dataset, but: set[str] = _NEEDED) -> int:
    """Puts a secret into every attribute that can hold one; returns into how many."""
    but = {*but, "DarkCurrentCounts", "AirCounts", "WaveformPaddingValue", "WaveformData"}  # GDCM refuses the file
    filled = 0
    for tag, (vr, vm, *_, keyword) in DicomDictionary.items():
        if tag >> 16 in (0, 2, 4, 0x0028, 0xFFFE) or not keyword or keyword in but:
            continue
        if vr == "SQ":
            item = Dataset()
            item.PatientName, item.PatientID, item.PatientBirthDate, item.TextValue = NAME, NAME, NUMBER, NAME
            ds.add_new(tag, "SQ", [item])
        elif _value(vr.split(" ")[0], vm) is not None:
            ds.add_new(tag, vr.split(" ")[0], _value(vr.split(" ")[0], vm))
        else:
            continue
        filled += 1
    for keyword in ("RescaleType", "LUTExplanation", "WindowCenterWidthExplanation", "WindowWidth", "WindowCenter"):
        vr = pydicom.datadict.dictionary_VR(tag_for_keyword(keyword) or 0)
        setattr(ds, keyword, _BY_VR[vr])
    for mask in ("50xx2500", "60xx1500", "60xx0022"):  # labels of curves and overlays
        assert mask in RepeatersDictionary
        ds.add_new(int(mask.replace("xx", "00"), 16), RepeatersDictionary[mask][0], NAME)
    ds.add_new(0x00090010, "LO", NAME)
    ds.add_new(0x00091001, "LO", NAME)
    ds.add_new(0x00091002, "UN", NAME.encode())
    return filled


def _found(text: bytes) -> list[str]:
    return [secret for secret in SECRETS if secret.encode() in text or secret.encode("utf-16-le") in text]


def _everywhere(root: Path) -> Iterator[tuple[str, bytes]]:
    """All names and bytes below a data root, and what the database's tables say (it packs its text)."""
    for path in root.rglob("*"):
        yield "the name of a file", path.relative_to(root).as_posix().encode()
        if path.is_file() and not path.name.endswith(".gz"):
            yield path.relative_to(root).as_posix(), path.read_bytes()
        elif path.is_file():
            image: Any = nib.load(path)
            yield path.name, image.header.binaryblock + b"".join(e.get_content() for e in image.header.extensions)
    with open_store(root) as store:
        tables = [row["table_name"] for row in store.db.query("SELECT table_name FROM information_schema.tables")]
        for table in tables:
            yield f"table {table}", json.dumps(store.db.query(f"SELECT * FROM {table}"), default=str).encode()


def _import(root: Path, *files: Path, modality: str) -> tuple[int, bytes]:
    """Exit status of the command line, and all that it printed and logged."""
    command = [sys.executable, "cli.py", "scan", "import", *map(str, files), "--dataset", "d", "--patient", "P1"]
    command += ["--date", DAY, "--modality", modality, "--data", str(root), "--reviewer", "demo", "--json"]
    done = subprocess.run(command, cwd=HOME, capture_output=True, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("modality", ["CT", "PT"])
def test_no_attribute_of_the_dictionary_leaves_a_trace(tmp_path: Path, modality: str) -> None:
    filled = []
    tags = activity_tags() if modality == "PT" else {}

    def edit(ds: Dataset, n: int) -> None:
        ds.FrameOfReferenceUID = "1.2.3.4"
        filled.append(_fill(ds))
        for tracer in ds.get("RadiopharmaceuticalInformationSequence", []):
            _fill(tracer, {*_NEEDED, *dir(tracer)})
        ds.file_meta.SourceApplicationEntityTitle = NAME
        ds.file_meta.PrivateInformationCreatorUID = UID("1.2.826.951")

    files = write_series(tmp_path / "series", modality, edit=edit, **tags)
    assert filled[0] > 4000
    assert _found(files[0].read_bytes())
    root = tmp_path / "data"
    status, said = _import(root, tmp_path / "series", modality="CT" if modality == "CT" else "PET")
    assert status == 0, said
    assert _found(said) == []
    assert [(where, found) for where, text in _everywhere(root) if (found := _found(text))] == []


_NOT_AS_TEXT = {"BitsAllocated", "FloatPixelData", "DoubleFloatPixelData", *UIDS}  # pydicom writes no such file


@pytest.mark.parametrize("keyword", sorted(_NEEDED - _NOT_AS_TEXT))
def test_a_refusal_repeats_no_secret_of_an_attribute_that_is_needed(tmp_path: Path, keyword: str) -> None:
    tag = tag_for_keyword(keyword)
    assert tag is not None

    def edit(ds: Dataset, n: int) -> None:
        if keyword == "PixelData":
            return
        ds.add_new(tag, "LO", NAME)  # whatever it should be

    write_series(tmp_path, "PT", **activity_tags(), edit=edit)
    try:
        text = json.dumps(permitted_facts(read_series(tmp_path, "PET")[1], DAY))
    except TwinReviewError as error:
        text = str(error)
    assert _found(text.encode()) == []


def test_what_dicognito_would_change_changes_nothing_that_is_kept(tmp_path: Path) -> None:
    def edit(ds: Dataset, n: int) -> None:
        ds.Manufacturer, ds.ManufacturerModelName, ds.ConvolutionKernel = "SIEMENS", "Biograph 64", "B30f"
        ds.BodyPartExamined, ds.KVP, ds.XRayTubeCurrent = "CHEST", 120, 200
        ds.PatientAddress, ds.StationName, ds.OperatorsName = NAME, NAME, NAME

    files = write_series(tmp_path / "as-it-came", edit=edit)
    clean, anonymizer = tmp_path / "clean", Anonymizer(seed="one")
    clean.mkdir()
    for path in files:
        ds = pydicom.dcmread(path)
        anonymizer.anonymize(ds)
        assert "ZQX" not in str(ds)
        ds.save_as(clean / path.name)
    (volume, facts), (again, others) = (read_series(folder, "CT") for folder in (tmp_path / "as-it-came", clean))
    for found in (facts, others):
        del found["identifiers"], found["study_date"]  # the UIDs lie apart, and the day is what the person said
        del found["birth_year"]  # is held against the day and not stored (`core.jobs.scan_import.stored_facts`)
    assert facts == others
    assert facts["model"] == "Biograph 64"
    assert np.array_equal(volume.array, again.array)


def _nifti(path: Path) -> None:
    voxels = np.random.default_rng(0).integers(-1000, 1000, (6, 7, 8)).astype(np.int16)
    image = nib.Nifti1Image(voxels, np.diag([1.0, 1.0, 2.0, 1.0]))
    for field, length in (("descrip", 80), ("aux_file", 24), ("intent_name", 16), ("db_name", 18), ("data_type", 10)):
        image.header[field] = (NAME + " " + NUMBER)[:length].encode()
    for code in (0, 4, 6, 44):  # none, AFNI, comment, MATLAB
        image.header.extensions.append(nib.nifti1.Nifti1Extension(code, NAME.encode()))
    nib.save(image, path)


def _nrrd(path: Path) -> None:
    head = (
        "NRRD0005\n# ZQX^JANE 19510203\ntype: short\ndimension: 3\nspace: left-posterior-superior\nsizes: 6 7 8\n"
        'content: ZQX^JANE 19510203\nsample units: "ZQX^JANE"\nlabels: "ZQX" "JANE" "19510203"\n'
        "space directions: (1,0,0) (0,1,0) (0,0,2)\nspace origin: (0,0,0)\nendian: little\nencoding: raw\n"
        "ZQX^JANE:=19510203\nDICOM_0010_0010_PatientName:=ZQX^JANE\n\n"
    )
    voxels = np.random.default_rng(0).integers(-1000, 1000, 336).astype("<i2")
    path.write_bytes(head.encode() + voxels.tobytes())


def _mha(path: Path) -> None:
    head = (
        "ObjectType = Image\nNDims = 3\nComment = ZQX^JANE 19510203\nName = ZQX^JANE\nBinaryData = True\n"
        "BinaryDataByteOrderMSB = False\nCompressedData = False\nTransformMatrix = 1 0 0 0 1 0 0 0 1\nOffset = 0 0 0\n"
        "AnatomicalOrientation = RAI\nElementSpacing = 1 1 2\nDimSize = 6 7 8\nElementType = MET_SHORT\n"
        "ElementDataFile = LOCAL\n"
    )
    voxels = np.random.default_rng(0).integers(-1000, 1000, 336).astype("<i2")
    path.write_bytes(head.encode() + voxels.tobytes())


@pytest.mark.parametrize("write", [_nifti, _nrrd, _mha])
def test_no_free_field_of_an_image_file_leaves_a_trace(tmp_path: Path, write: Any) -> None:
    path = tmp_path / ("x" + {_nifti: ".nii", _nrrd: ".nrrd", _mha: ".mha"}[write])
    write(path)
    assert _found(path.read_bytes())
    root = tmp_path / "data"
    status, said = _import(root, path, modality="CT")
    assert status == 0, said
    assert _found(said) == []
    assert [(where, found) for where, text in _everywhere(root) if (found := _found(text))] == []
