"""Identities on their way in: names as ids are questioned, free text is dropped, a shifted date leaves no other."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset
from streamlit.testing.v1 import AppTest

from core.errors import InputError
from core.imaging.open_scan import open_scan
from core.imaging.pseudonym import NameQuestion, ask_about_id, ask_about_name
from core.imaging.scanner_facts import date_mode, permitted_facts
from core.jobs.pipeline import import_scan
from store import Store
from tests.dicom_phantom import activity_tags, write_series

DAY = "2001-11-30"
#: How the date in the file may be written.
SPELLINGS = (
    "2001-09-02",
    "20010902",
    "2001.09.02",
    "02.09.2001",
    "2001/09/02",
    "02.09.01",
    "2/9/01",
    "02-09-01",
    "2 9 01",
)


def _import(store: Store, *files: Path, modality: Any = "CT", **details: Any) -> Any:
    said = {"date_differs": "moved on purpose"} if date_mode() == "keep" else {}
    values = {"dataset": "d", "patient_id": "P1", "timepoint": DAY, "person": "demo", **said, **details}
    return import_scan(store, list(files), modality=modality, **values)


def _dated(folder: Path, modality: str = "CT", spelling: str = "20010902", **tags: Any) -> Path:
    """A series of 2001-09-02 whose every field that can hold a date holds that one, text in `spelling`."""

    def date(ds: Dataset, n: int) -> None:
        ds.StudyDate = ds.SeriesDate = ds.AcquisitionDate = ds.ContentDate = "20010902"
        ds.SeriesDescription, ds.StudyDescription, ds.ImageComments = "scan of 2001-09-02", "02.09.2001", "20010902"
        ds.ManufacturerModelName, ds.ConvolutionKernel = f"Biograph {spelling}", f"B30f {spelling}"
        ds.BodyPartExamined, ds.ReconstructionMethod = f"THIGH {spelling}", f"OSEM {spelling}"
        ds.KVP = ds.SliceThickness = ds.MagneticFieldStrength = ds.RepetitionTime = ds.EchoTime = "20010902"
        ds.InversionTime = ds.FlipAngle = ds.XRayTubeCurrent = "20010902"
        for tracer in ds.get("RadiopharmaceuticalInformationSequence", []):
            tracer.Radiopharmaceutical = f"FDG {spelling}"

    write_series(folder, modality, edit=date, **tags)
    return folder


def _everything(root: Path) -> str:
    """All that is under the data root, as text."""
    parts = [path.relative_to(root).as_posix() for path in root.rglob("*")]
    parts += [path.read_bytes().decode("latin-1") for path in root.rglob("*") if path.is_file()]
    return "\n".join(parts)


@pytest.mark.parametrize("mode", ["keep", "shift"])
@pytest.mark.parametrize("modality", ["CT", "PT"])
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_another_date_in_the_file_is_nowhere_under_the_data_root(
    tmp_path, store: Store, monkeypatch, mode, modality, spelling
) -> None:
    monkeypatch.setenv("TWIN_DATES", mode)
    folder = _dated(tmp_path / "series", modality, spelling, **(activity_tags() if modality == "PT" else {}))
    scan = _import(store, folder, modality="CT" if modality == "CT" else "PET")
    store.close()
    everything = _everything(store.root)
    assert not [one for one in SPELLINGS if one in everything]
    assert "study_date" not in scan.metadata
    said = [warning for warning in scan.metadata["warnings"] if "date" in warning]
    assert bool(said) is (mode == "keep")
    assert set(scan.metadata["not_kept"]) >= {"body_part", "kernel", "model", "reconstruction", "kvp", "flip_angle_deg"}
    assert ("tracer" in scan.metadata["not_kept"]) is (modality == "PT")


def test_the_file_s_own_date_is_kept_where_it_is_the_given_one_unless_dates_are_shifted(
    tmp_path, store: Store, monkeypatch
):
    folder = _dated(tmp_path / "series")
    assert _import(store, folder, timepoint="2001-09-02").metadata["study_date"] == "2001-09-02"
    monkeypatch.setenv("TWIN_DATES", "shift")
    assert "study_date" not in permitted_facts({"study_date": "2001-09-02", "warnings": []}, "2001-09-02")


def test_a_refusal_of_several_series_shows_no_date_where_dates_are_shifted(tmp_path, monkeypatch) -> None:
    for n in range(2):
        _dated(tmp_path / "study-20010902" / str(n), uid=f"1.2.{n}.20010902")
    monkeypatch.setenv("TWIN_DATES", "shift")
    with pytest.raises(InputError) as caught:
        open_scan([tmp_path], "CT")
    assert "got 2" in str(caught.value)
    assert not [spelling for spelling in SPELLINGS if spelling in str(caught.value)]


@pytest.mark.parametrize("field", ["Modality", "Units", "SUVType", "DecayCorrection"])
def test_what_a_code_holds_beyond_a_code_is_not_repeated_in_a_refusal(tmp_path, field: str) -> None:
    hostile = "![](http://x) DOE^JANE 2001-09-02"
    tags: dict[str, Any] = {**activity_tags(), **({"Units": "GML"} if field == "SUVType" else {}), field: hostile}
    write_series(tmp_path, "PT", **tags)
    with pytest.raises(InputError) as caught:
        open_scan([tmp_path], "PET")
    assert "another" in str(caught.value) or "expected" in str(caught.value)
    assert not [part for part in ("http", "DOE", "2001") if part in str(caught.value)]


def test_a_wrong_setting_of_dates_is_said_before_anything_is_read(store: Store, monkeypatch) -> None:
    monkeypatch.setenv("TWIN_DATES", "maybe")
    with pytest.raises(InputError, match="TWIN_DATES as keep or shift"):
        _import(store, Path("/nothing"))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("manufacturer", "SIEMENS"),
        ("manufacturer", "GE MEDICAL SYSTEMS"),
        ("manufacturer", "Philips Healthcare"),
        ("manufacturer", "UIH"),
        ("model", "Discovery STE"),
        ("model", "Biograph 64"),
        ("model", "SOMATOM Definition AS+"),
        ("model", "LightSpeed VCT"),
        ("model", "Prisma_fit"),
        ("model", "Ingenia"),
        ("model", "GEMINI TF TOF 64"),
        ("kernel", "B30f"),
        ("kernel", "I31f\\3"),
        ("kernel", "Br40d\\2"),
        ("kernel", "STANDARD"),
        ("kernel", "FC08"),
        ("kernel", "B"),
        ("body_part", "THIGH"),
        ("body_part", "HEADNECK"),
        ("body_part", "CHEST_ABDOMEN"),
        ("patient_position", "HFS"),
        ("scanning_sequence", "SE\\IR"),
        ("sequence_variant", "SK\\SP\\OSP"),
        ("mr_acquisition_type", "3D"),
        ("reconstruction", "OSEM 2i21s"),
        ("reconstruction", "3D-OSEM"),
        ("reconstruction", "VPFX"),
        ("reconstruction", "PSF+TOF 3i21s"),
        ("decay_correction", "START"),
        ("tracer", "FDG -- fluorodeoxyglucose"),
        ("tracer", "F-18 FDG"),
        ("tracer", "68Ga DOTATATE"),
        ("tracer", "FDG"),
        ("reconstruction", "OSEM3D 4i8s"),
        ("reconstruction", "QCFX 350"),
        ("kernel", "XYZ Gauss5.00"),
        ("kernel", "Gaussian 4.0"),
        ("tracer", "F-18 PSMA-1007"),
        ("tracer", "68Ga-PSMA-11"),
        ("tracer", "13N ammonia"),
        ("model", "Biograph128_Vision 600"),
        ("model", "MX 8000"),
        ("model", "Discovery CT750 HD"),
        ("stored_units", "BQML"),
        ("kvp", 120.0),
        ("kvp", 0.0),
        ("slice_thickness_mm", 0.625),
        ("flip_angle_deg", 180),
        ("repetition_time_ms", 15000.0),
        ("magnetic_field_t", 7.0),
        ("tube_current_ma", 1200.0),
    ],
)
def test_the_field_s_own_words_are_kept(key: str, value: Any) -> None:
    assert permitted_facts({key: value}, DAY) == {key: value}


TEXT_KEYS = (
    "manufacturer",
    "model",
    "kernel",
    "body_part",
    "patient_position",
    "scanning_sequence",
    "sequence_variant",
    "mr_acquisition_type",
    "reconstruction",
    "decay_correction",
    "tracer",
    "stored_units",
)


@pytest.mark.parametrize("key", TEXT_KEYS)
@pytest.mark.parametrize(
    "value",
    [
        "DOE^JANE",
        "Mrs Doe",
        "Biograph 19540302",
        "Doe 1954",
        "THIGH of J. Doe",
        "Dr. House 0151 23456",
        "x" * 65,
        "MRN-4711",
        "B30f\nDOE",
        "Müller",
        "",
        "12345",
        "=HYPERLINK(1)",
        "![](http://x)",
        "J.O.H.N D.O.E",
        "F.D.G",
        "D 02.09.01",
        "D 2/9/01",
        "Gauss5.00.54",
        "Gauss 2.9 01",
        "PSMA-11.9.01",
    ],
)
def test_other_text_is_dropped_and_only_its_key_is_said(key: str, value: str) -> None:
    assert permitted_facts({key: value, "format": "DICOM"}, DAY) == {"format": "DICOM", "not_kept": [key]}


@given(st.sampled_from(TEXT_KEYS), st.text(min_size=1))
def test_whatever_is_kept_is_short_plain_text_without_long_numbers(key: str, value: str) -> None:
    kept = permitted_facts({key: value}, DAY)
    if key in kept:
        assert len(value) <= 64
        assert value.isascii()
        assert sum(c.isdigit() for c in value) <= 48
    else:
        assert value not in json.dumps(kept) or len(value) < 5 or value in f"{key} not_kept"


@given(
    st.sampled_from(
        [
            ("manufacturer", "SIEMENS"),
            ("model", "Biograph 64"),
            ("model", "Discovery"),
            ("kernel", "B30f"),
            ("kernel", "XYZ Gauss"),
            ("body_part", "THIGH"),
            ("mr_acquisition_type", "3D"),
            ("reconstruction", "OSEM"),
            ("reconstruction", "OSEM3D 4i8s"),
            ("tracer", "FDG"),
            ("tracer", "F-18 PSMA"),
            ("stored_units", "BQML"),
        ]
    ),
    st.dates(dt.date(1910, 1, 1), dt.date(2029, 12, 31)),
    st.sampled_from(
        [
            "%d.%m.%y",
            "%d-%m-%y",
            "%y/%m/%d",
            "%d %m %Y",
            "%m/%d/%y",
            "%d_%m_%y",
            "%d%m%y",
            "%Y%m%d",
            "%d%m%Y",
            "%Y",
            "%m/%Y",
            "%d.%m.",
            "%m%d",
            "%-d.%-m.%y",
            "%-m/%-d/%y",
        ]
    ),
    st.sampled_from([" ", "", "-", "_", "/", " of ", "\\"]),
    st.booleans(),
)
def test_no_date_beside_a_field_s_own_words_is_kept(words, day, form, between, first) -> None:
    key, text = words
    date = day.strftime(form)
    value = f"{date}{between}{text}" if first else f"{text}{between}{date}"
    assert permitted_facts({key: value}, DAY) == {"not_kept": [key]}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("kvp", 20010902.0),
        ("kvp", 501.0),
        ("kvp", -1.0),
        ("slice_thickness_mm", 2001.0),
        ("magnetic_field_t", 1.5e4),
        ("repetition_time_ms", 20010902.0),
        ("echo_time_ms", 1954.0),
        ("inversion_time_ms", 20010902),
        ("flip_angle_deg", 361.0),
        ("tube_current_ma", 1954.0),
    ],
)
def test_a_number_that_no_scanner_has_is_dropped(key: str, value: float) -> None:
    assert permitted_facts({key: value}, DAY) == {"not_kept": [key]}


@pytest.mark.parametrize("value", ["NaN", float("nan"), float("inf"), True, "120", None, [1]])
def test_a_number_that_is_none_is_dropped(value: Any) -> None:
    assert permitted_facts({"kvp": value, "note": "x"}, DAY) == {"not_kept": ["kvp", "note"]}


# ---------------------------------------------------------------- ids

NAMES = [
    "DOE_JOHN_19540302",
    "Mueller-1954-03-02",
    "smith.anna",
    "doe-jane",
    "DoeJohn1954",
    "Mueller-1954",
    "02031954",
    "19540302",
    "MUELLER_02.03.1954",
    "anna",
    "JOHN-0042",
    "Doe.Jane.3",
    "P1-1954-03-02",
    "Schmidt_Karl_Heinz",
    "Mueller_02.03.54",
    "MUELLER-2-3-54",
    "54_03_02_Mueller",
]
PSEUDONYMS = [
    "P1",
    "P2",
    "P9",
    "DEMO-01",
    "STS_001",
    "patient03",
    "TCGA-XX-1234",
    "LUNG1-001",
    "clinic-2024-001",
    "case-17",
    "4711",
    "BraTS-GLI-00005-000",
    "A",
    "x7f3",
    "0b1c9e2d",
    "Phantom-1",
    "HN-CHUM-001",
    "MRN12345678",
    "subject_12",
    "DEMO",
    "UPENN-GBM-00013",
    "study-2019-044",
    "NSCLC-R01-0003",
    "C3L-00016",
    "R_01_L",
    "P-2024",
    "P-01-02-03",
    "site-01-02-03",
]


@pytest.mark.parametrize("name", NAMES)
def test_an_id_that_looks_like_a_person_is_questioned_until_it_is_confirmed(store: Store, tmp_path, name: str) -> None:
    with pytest.raises(NameQuestion, match=r"Expected a pseudonym.*--id-is-a-pseudonym") as caught:
        ask_about_id(name)
    assert name not in str(caught.value)


@pytest.mark.parametrize("name", PSEUDONYMS)
def test_ordinary_ids_pass(name: str) -> None:
    ask_about_id(name)


@given(
    st.sampled_from(["Doe", "MUELLER", "smith", "Kowalski", "oConnor"]),
    st.sampled_from(["", "John", "ANNA", "xi"]),
    st.dates(dt.date(1900, 1, 1), dt.date(2099, 12, 31)),
    st.sampled_from(["%Y%m%d", "%Y-%m-%d", "%d.%m.%Y", "%d%m%Y", "%m_%d_%Y"]),
    st.sampled_from(["_", "-", ".", ""]),
)
def test_a_name_with_a_date_is_questioned_however_it_is_put(family, first, date, form, between) -> None:
    for parts in ((family, first, date.strftime(form)), (date.strftime(form), family, first)):
        with pytest.raises(NameQuestion):
            ask_about_id(between.join(part for part in parts if part))


@given(st.from_regex(r"[BCDFGHKPQRSTVWXZ]{1,5}[-_]?[0-9]{1,3}", fullmatch=True))
def test_letters_and_a_number_are_a_pseudonym(name: str) -> None:
    ask_about_id(name)


@pytest.mark.parametrize("name", ["T1", "T1c", "FLAIR", "T2_FS", "T1_post_contrast", "STIR-cor", "DWI_b1000", "bone"])
def test_sequences_and_datasets_are_not_taken_for_people(name: str) -> None:
    ask_about_name("sequence", name)
    ask_about_name("dataset", name)


def test_nothing_is_stored_under_a_questioned_name_and_a_known_one_is_not_asked_again(store: Store, tmp_path) -> None:
    write_series(tmp_path / "one")
    for wrong in ({"patient_id": "DOE_JOHN_19540302"}, {"dataset": "Doe_John"}):
        with pytest.raises(NameQuestion):
            _import(store, tmp_path / "one", **wrong)
    assert store.patients.all() == []
    _import(store, tmp_path / "one", patient_id="DOE_JOHN_19540302", confirm_id=True)
    write_series(tmp_path / "two", slopes=[2, 2, 2, 2])
    assert _import(store, tmp_path / "two", patient_id="DOE_JOHN_19540302", timepoint="2002-01-01").scan_id == "CT"


def test_the_command_line_has_a_flag_for_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import cli

    write_series(tmp_path / "one")
    command = [
        "--data",
        str(tmp_path / "data"),
        "import",
        str(tmp_path / "one"),
        "--dataset",
        "d",
        "--patient",
        "smith.anna",
        "--date",
        DAY,
        "--modality",
        "CT",
        "--date-differs",
        "moved on purpose",
    ]
    assert cli.main(command) == 1
    assert "--id-is-a-pseudonym" in capsys.readouterr().err
    assert cli.main([*command, "--id-is-a-pseudonym"]) == 0


def _asking() -> None:
    import streamlit as st

    from core.errors import InputError
    from core.imaging.pseudonym import ask_about_id
    from pages.ui.frame import shell
    from pages.ui.intake import intake_form

    with st.form("f"):
        name = st.text_input("Patient ID")
        whole = st.checkbox("The file is whole", True)
        confirmed = intake_form.name_question(("clinic", name, ""))
        pressed = st.form_submit_button("Import")
    if pressed:
        with shell.guarded(), intake_form.asking_about_names(("clinic", name, "")):
            if not confirmed:
                ask_about_id(name)
            if not whole:
                raise InputError("Expected a whole file.")
            st.success("stored")


def _boxes(app: AppTest) -> list[Any]:
    return [box for box in app.checkbox if "pseudonyms" in box.label]


def test_the_page_asks_with_a_box_that_appears_only_then() -> None:
    app = AppTest.from_function(_asking).run()
    assert not _boxes(app)
    app.text_input[0].set_value("smith.anna")
    app.button[0].click().run()
    assert "looks like a person's name" in app.error[0].value.replace("\\", "")
    assert not app.success
    _boxes(app)[0].check()
    app.button[0].click().run()
    assert app.success
    assert not _boxes(app.run())


def test_a_confirmation_holds_for_the_names_that_were_asked_about_and_for_no_others() -> None:
    app = AppTest.from_function(_asking).run()
    app.text_input[0].set_value("smith.anna")
    app.button[0].click().run()
    _boxes(app)[0].check()
    app.checkbox[0].uncheck()
    app.button[0].click().run()  # confirmed, and then the file was refused
    assert "whole file" in app.error[-1].value
    app.checkbox[0].check()
    app.text_input[0].set_value("DOE_JOHN_19540302")
    app.button[0].click().run()
    assert not app.success
    assert "birth date" in app.error[0].value
    assert [box.value for box in _boxes(app)] == [False]
    app.text_input[0].set_value("smith.anna")  # back to the first: asked about anew, as is said once
    app.button[0].click().run()
    assert not app.success
    _boxes(app)[0].check()
    app.button[0].click().run()
    assert app.success
