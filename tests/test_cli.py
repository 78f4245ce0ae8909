"""The whole job from the command line, on a real patient; and one clear line when something is wrong."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import cli
from commands.output import READER_GONE, as_json, refusal
from commands.verbs import OLD_VERBS, verbs_of
from core.imaging.volumes import read_label_map
from core.jobs.stages.common import add_version
from core.lesions.metrics import dice
from core.remembered.rows import Person
from core.types import LabelMap
from store import open_store
from tests import clinic
from tests.store_phantom import ANSWER, ANSWERED, with_people

PATIENT, OTHER = "STS_003", "STS_008"
DATE = "2025-03-01"


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("cohort")


def _run(root, capsys, *arguments, status=0):
    """Runs a verb with --json; returns the parsed answer (or the error line when it is to fail)."""
    assert cli.main([*map(str, arguments), "--data", str(root), "--json"]) == status
    out, err = capsys.readouterr()
    if status:
        assert json.loads(out) == {"error": err.strip()}
        assert err.count("\n") == 1
        return err
    return json.loads(out)


def _box(shared_data, patient):
    """The true contour's bounding box on its largest slice: what a clinician would draw."""
    truth = read_label_map(shared_data / "sts" / patient / "CT_mask.nii.gz").array > 0
    k = int(np.count_nonzero(truth, axis=(0, 1)).argmax())
    i, j = np.nonzero(truth[:, :, k])
    return (k, i.min(), j.min(), i.max(), j.max()), truth


def _import_scans(root, capsys, shared_data, patient):
    for modality in ("CT", "PET"):
        image = shared_data / "sts" / patient / f"{modality}_image.nii.gz"
        day = ("--dataset", "sts", "--patient", patient, "--date", DATE)
        assert _run(root, capsys, "import", image, *day, "--modality", modality)["scan_id"] == modality


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_the_whole_job_on_a_real_patient_beside_another_whose_mask_was_drawn_elsewhere(
    root, shared_data, capsys, monkeypatch
):
    monkeypatch.setenv("TWIN_PERSON", "demo")
    _import_scans(root, capsys, shared_data, OTHER)
    _run(root, capsys, "import-mask", OTHER, DATE, shared_data / "sts" / OTHER / "CT_mask.nii.gz")
    _run(root, capsys, "accept", OTHER, DATE, 1, *ANSWERED)

    _import_scans(root, capsys, shared_data, PATIENT)
    proposal = _run(root, capsys, "segment", PATIENT, DATE)
    assert (proposal["version"], proposal["method"], proposal["status"]) == (1, "nnunet", "proposed")
    box, truth = _box(shared_data, PATIENT)
    refined = _run(root, capsys, "refine", PATIENT, DATE, "--scan", "CT", "--box", *box, "--propagate")
    assert (refined["version"], refined["parent_version"], refined["method"]) == (2, 1, "medsam")
    assert 0 < refined["dice_vs_previous_version"] < 1
    assert refined["prompts"][0]["coords"] == [float(c) for c in box[1:]]
    stored = read_label_map(next(root.rglob(f"{PATIENT}/{DATE}/mask_v002.nii.gz"))).array
    assert dice(stored == refined["lesion"], truth) > 0.5

    _run(root, capsys, "person", "add", "reader-1", "--role", "reader")  # from the second person on no name is assumed
    decision = _run(root, capsys, "accept", PATIENT, DATE, 2, "--reviewer", "reader-1", *ANSWERED)
    assert decision["reviewer"] == "reader-1"
    versions = _run(root, capsys, "masks", PATIENT)
    assert [v["status"] for v in versions] == ["superseded", "accepted"]
    assert list(versions[0])[:13] == [
        "mask_id",
        "patient_id",
        "timepoint",
        "version",
        "parent_version",
        "method",
        "model_checkpoint",
        "prompts",
        "reviewer",
        "status",
        "created_at",
        "dice_vs_previous_version",
        "volume_mm3",
    ]
    growth = _run(root, capsys, "growth", PATIENT)
    points = growth["lesions"]["total"]["points"]
    assert [p["volume_mm3"] for p in points] == [pytest.approx(versions[1]["volume_mm3"])]
    assert "at least 3 accepted" in growth["lesions"]["total"]["forecast"]["refused"]

    scan_gate = _run(root, capsys, "ood", PATIENT, DATE)
    assert scan_gate["state"] in ("in distribution", "out of distribution")
    assert 0 <= scan_gate["score"] <= 1
    mask_gate = _run(root, capsys, "anomaly", PATIENT, DATE, 2)
    assert mask_gate["verdict"] == "not enough reference masks"
    assert mask_gate["n_reference"] >= 1
    alike = _run(root, capsys, "similar", PATIENT, DATE, 2, "-k", 1)
    assert {row["patient_id"] for row in alike} == {OTHER}
    assert _run(root, capsys, "verify") == {"clean": True, "problems": [], "remarks": []}


@pytest.mark.soak  # of what the job before it made
@pytest.mark.timeout(300)
def test_rebuild_makes_the_same_database_from_the_files(root, shared_data, capsys):
    before = _run(root, capsys, "masks", PATIENT)
    (root / "twin.duckdb").unlink()
    _run(root, capsys, "rebuild")
    assert _run(root, capsys, "masks", PATIENT) == before
    assert _run(root, capsys, "verify")["clean"]


def test_readers_and_the_value_of_correction_are_asked_for_by_a_verb(tmp_path, capsys):
    opened: Any = open_store(tmp_path)
    with opened as store:
        with_people(store, "ann", "ben")
        clinic.add_scan(store, "KIM", clinic.DAYS[0], clinic.noise(1))
        network = clinic.add_mask(store, "KIM", clinic.DAYS[0], 800)
        for person, voxels in (("ann", 1000), ("ben", 1250)):
            labels = LabelMap(clinic.lesion(voxels).astype(np.uint8), clinic.grid())
            add_version(
                store, labels, "KIM", clinic.DAYS[0], method="medsam", author=person, parent_version=network.version
            )
        store.decisions.decide("KIM", clinic.DAYS[0], 2, "accept", "ann", *ANSWER)
    found = _run(tmp_path, capsys, "agreement", "KIM", clinic.DAYS[0])
    assert found["readers"] == {"ann": 2, "ben": 3}
    assert found["agreement"][-1]["dice"] == pytest.approx(2000 / 2250)
    for whose in (["KIM"], []):
        rows = _run(tmp_path, capsys, "correction", *whose)["summary"]
        assert (rows[0]["comparison"], rows[0]["n"]) == ("nnU-Net against final", 1)
        assert rows[0]["dice_mean"] == pytest.approx(1600 / 1800)
    assert cli.main(["correction", "--data", str(tmp_path)]) == 0
    assert "nnU-Net against final" in capsys.readouterr().out
    assert _run(tmp_path, capsys, "verify")["clean"]


def test_a_forecast_is_kept_and_judged_by_a_verb(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("TWIN_PERSON", "demo")
    opened: Any = open_store(tmp_path)
    with opened as store:
        with_people(store, "ann")
        for n, day in enumerate(clinic.DAYS[:4]):
            clinic.add_scan(store, "KIM", day, clinic.noise(n))
            record = clinic.add_mask(store, "KIM", day, 800 + 100 * n)
            if n < 3:
                clinic.accept(store, record)
    kept = _run(tmp_path, capsys, "keep-forecast", "KIM", "--lesion", "L1", "--weeks", 10, "--reviewer", "ann")
    assert _run(tmp_path, capsys, "keep-forecast", "KIM", "--lesion", "L1", "--weeks", 10) == kept, "not twice"
    _run(tmp_path, capsys, "accept", "KIM", clinic.DAYS[3], 1, *ANSWERED)
    for whose in (["KIM"], []):
        found = _run(tmp_path, capsys, "kept-forecasts", *whose)
        (forecast,) = found["forecasts"]
        assert (forecast["person"], forecast["said_at"]) == ("ann", clinic.DAYS[2])
        assert forecast["visits"][0]["came_mm3"] == pytest.approx(1100 * 12)
        assert found["record"]["single lesions"]["visits"] == 1
    assert _run(tmp_path, capsys, "verify")["clean"]


def test_a_reader_of_the_shell_gets_status_and_one_line(tmp_path):
    open_store(tmp_path / "data").close()
    command = [sys.executable, "cli.py", "masks", "NOBODY", "--data", str(tmp_path / "data")]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    assert answer.returncode == 1
    assert answer.stdout == ""
    assert "NOBODY" in answer.stderr
    assert answer.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("segment", "P", "2025-01-01"), "'P'"),
        (("segment", "P", "01.02.2025"), "YYYY-MM-DD"),
        (("refine", "P", "2025-01-01", "--scan", "CT"), "'P'"),
        (
            (
                "import",
                "nothing.nii.gz",
                "--dataset",
                "d",
                "--patient",
                "p",
                "--date",
                "2025-01-01",
                "--modality",
                "CT",
            ),
            "nothing.nii.gz",
        ),
        (
            ("import", "x.nii", "--dataset", "d", "--patient", "p", "--date", "2025-13-01", "--modality", "CT"),
            "2025-13-01",
        ),
        (("accept", "P", "2025-01-01", "1", "--reason", "fine"), "P"),
        (("growth", "P"), "'P'"),
        (("keep-forecast", "P"), "'P'"),
        (("kept-forecasts", "P"), "'P'"),
        (("similar", "P", "2025-01-01", "1"), "P"),
        (("anomaly", "P", "2025-01-01", "1"), "P"),
        (("ood", "P", "2025-01-01"), "'P'"),
        (("import-mask", "P", "2025-01-01", "m.nii.gz"), "P"),
        (("agreement", "P", "2025-01-01"), "'P'"),
        (("agreement", "P", "01.02.2025"), "YYYY-MM-DD"),
        (("correction", "P"), "'P'"),
        (("correction",), "no mask yet"),
    ],
)
def test_a_request_that_makes_no_sense_gets_one_clear_line_and_leaves_nothing(tmp_path, capsys, arguments, says):
    open_store(tmp_path).close()
    message = _run(tmp_path, capsys, *arguments, status=1)
    assert says in message
    assert _run(tmp_path, capsys, "verify")["clean"]


@pytest.mark.parametrize(
    ("point", "says"),
    [
        (("x", "1", "2", "+"), "got 'x 1 2 +'"),
        (("3.5", "1", "2", "+"), "got '3.5 1 2 +'"),
        (("3", "one", "2", "-"), "got '3 one 2 -'"),
        (("3", "1", "2", "plus"), "A point ends in + "),
        (("3", "inf", "2", "+"), "finite"),
    ],
)
def test_a_point_that_is_none_gets_one_clear_line(tmp_path, capsys, point, says):
    with open_store(tmp_path) as store:
        clinic.add_scan(store, "ANNA", clinic.DAYS[0], clinic.noise(1))
    told = _run(tmp_path, capsys, "refine", "ANNA", clinic.DAYS[0], "--scan", "CT", "--point", *point, status=1)
    assert says in told
    assert "went wrong" not in told


def test_a_verb_that_writes_assumes_no_name_once_two_people_are_known(tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("TWIN_PERSON", raising=False)
    with open_store(tmp_path) as store:
        clinic.add_scan(store, "ANNA", clinic.DAYS[0], clinic.noise(1))
        for voxels in (900, 1000):
            clinic.add_mask(store, "ANNA", clinic.DAYS[0], voxels)
    reject = ("reject", "ANNA", clinic.DAYS[0], 1, "--reason", "leak")
    assert _run(tmp_path, capsys, "person", "add", "ann")[0]["name"] == "ann", (
        "the only person there is needs no choice"
    )
    for verb in (
        reject,
        ("person", "add", "ben"),
        ("import", "x.nii", "--dataset", "d", "--patient", "P", "--date", clinic.DAYS[0], "--modality", "CT"),
        ("audit", "sign"),
    ):
        told = _run(tmp_path, capsys, *verb, status=1)
        assert "--reviewer" in told
        assert "TWIN_PERSON" in told
    assert _run(tmp_path, capsys, *reject, "--reviewer", "ann")["reviewer"] == "ann"
    monkeypatch.setenv("TWIN_PERSON", "ann")
    _run(tmp_path, capsys, "reject", "ANNA", clinic.DAYS[0], 2, "--reason", "leak")
    with open_store(tmp_path) as store:
        assert {row["person"] for row in store.audit_log(2)} == {"ann"}


def test_a_verb_that_reads_needs_no_name_and_sees_of_what_is_read_blind_what_everybody_may(
    tmp_path, capsys, monkeypatch
):
    monkeypatch.delenv("TWIN_PERSON", raising=False)
    with open_store(tmp_path) as store:
        store.people.add("ann", by="demo")
        clinic.add_scan(store, "ANNA", clinic.DAYS[0], clinic.noise(1))
        clinic.add_mask(store, "ANNA", clinic.DAYS[0], 900)
        clinic.add_mask(store, "ANNA", clinic.DAYS[0], 1200, method="manual")
        store.readings.set_blind("ANNA", clinic.DAYS[0], True, "demo")
        store.readings.finish("ANNA", clinic.DAYS[0], "demo")
    assert [row["version"] for row in _run(tmp_path, capsys, "masks", "ANNA")] == [1]
    assert [row["version"] for row in _run(tmp_path, capsys, "masks", "ANNA", "--reviewer", "demo")] == [1, 2]
    assert _run(tmp_path, capsys, "verify")["clean"]
    told = _run(tmp_path, capsys, "agreement", "ANNA", clinic.DAYS[0], status=1)
    assert "(nobody named) has not finished" in told


def test_the_only_person_of_a_store_is_who_the_command_line_writes_as(tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("TWIN_PERSON", raising=False)
    monkeypatch.setattr("store.records.people.People.all", lambda self: [Person("ann", "reader", "")])
    with open_store(tmp_path) as store:
        store.people.add("ann", by="demo")
        clinic.add_scan(store, "ANNA", clinic.DAYS[0], clinic.noise(1))
        clinic.add_mask(store, "ANNA", clinic.DAYS[0], 900)
    assert _run(tmp_path, capsys, "reject", "ANNA", clinic.DAYS[0], 1, "--reason", "leak")["reviewer"] == "ann"


def test_a_command_line_that_cannot_be_read_says_where_help_is(capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["segment", "P"])
    assert stop.value.code == 2
    assert "python cli.py segment --help" in capsys.readouterr().err


#: Every verb, by the words that ask for it: as they are called now, and as they were before there were groups.
NEW = [one.words for part in cli.GROUPS for one in verbs_of(part.app)]
VERBS = sorted([*NEW, *(str(one.name) for one in OLD_VERBS.registered_commands), "growth"])
WITHOUT_A_STORE = ("backtest", "growth backtest", "phantom", "data phantom", "scan preview", "gate scan evaluate")
#: A command line for each verb that needs more than its name.
GIVEN = {
    **dict.fromkeys(("import", "scan import"), "x --dataset d --patient x --date 2025-01-20 --modality CT"),
    **dict.fromkeys(
        ("segment", "scan segment", "ood", "gate score-scan", "agreement", "mask agreement"), "x 2025-01-20"
    ),
    **dict.fromkeys(("selfgrade", "growth selfgrade"), "x 2025-01-20"),
    **dict.fromkeys(("refine", "mask refine"), "x 2025-01-20 --scan CT"),
    **dict.fromkeys(("import-mask", "mask import"), "x 2025-01-20 m.nii.gz"),
    **dict.fromkeys(("accept", "reject", "withdraw", "mask accept", "mask reject"), "x 2025-01-20 1 --reason x"),
    **dict.fromkeys(("mask withdraw", "lost", "mask mark-lost"), "x 2025-01-20 1 --reason x"),
    "gate verdicts": "x 2025-01-20",
    **dict.fromkeys(("anomaly", "similar", "gate score-mask", "mask similar", "mask mark-found"), "x 2025-01-20 1"),
    **dict.fromkeys(("masks", "growth", "keep-forecast", "mask list", "growth show", "growth forecasts keep"), "x"),
    **dict.fromkeys(("timeline", "patient timeline"), "x"),
    "person": "list",
    **dict.fromkeys(("people add", "people disable", "people enable", "people identify"), "x"),
    "people grant": "x --all",
    **dict.fromkeys(("scan move", "scan withdraw"), "x 2025-01-20 CT --reason x"),
    **dict.fromkeys(("timepoint move", "timepoint withdraw"), "x 2025-01-20 --reason x"),
    "scan preview": "x",
    "scan import-study": "x --dataset d --patient p",
    "timepoint restore": "x --reason x",
    "patient merge": "x y --reason x",
    **dict.fromkeys(("lesions", "lesion list"), "x"),
    **dict.fromkeys(("link", "lesion link"), "x 2025-01-20 1 1 L1 --reason x"),
    "lesion propose": "x 2025-01-20 1",
    "gate reference mark": "x 2025-01-20 --set x --as x",
    "gate reference fit": "--set x",
    "gate reference use": "x",
    **dict.fromkeys(("evidence similar", "evidence panel"), "x 2025-01-20 L1"),
    "evidence mark": "x 2025-01-20 L1 y 2025-01-20 L1",
    "evidence unmark": "x",
    "evidence undo": "--by shape",
    "evidence ask": "x",
    "evidence use": "0a1b2c3d --by shape",
    "event add": "x 2025-01-20 relapse",
    "event list": "x",
    **dict.fromkeys(("event correct", "event withdraw"), "x y --reason x"),
    "event import": "x.csv",
    "measurement list": "x",
    "measurement withdraw": "x y --reason x",
    "response show": "x",
    "response protocol": "x --reason x",
    "response protocol-of-dataset": "x --criterion recist-1.1 --reason x",
    **dict.fromkeys(("register", "lesion register"), "x 2025-01-20 2025-02-20"),
    "patient delete": "x --confirm x --reason x",
    "patient history": "x",
    "audit": "head",
    "data audit-check": "1 x",
}


@pytest.mark.parametrize(
    "arguments", [[], ["nothing-like-it"], ["mask"], *([*verb.split(), "--no-such-option"] for verb in VERBS)]
)
def test_every_verb_says_as_json_what_is_wrong_with_its_command_line(capsys, arguments):
    with pytest.raises(SystemExit) as stop:
        cli.main([*arguments, "--json"])
    assert stop.value.code == 2
    out, err = capsys.readouterr()
    assert json.loads(out) == {"error": err.strip()}
    assert "--help says more" in err
    with pytest.raises(SystemExit):
        cli.main(arguments)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("verb", [v for v in VERBS if v not in WITHOUT_A_STORE])
def test_every_verb_says_as_json_that_the_data_cannot_be_used(tmp_path, capsys, verb):
    (tmp_path / "data").write_text("a file where a folder should be")
    words = [*verb.split(), *GIVEN.get(verb, "").split()]
    assert cli.main([*words, "--data", str(tmp_path / "data"), "--json"]) == 1
    out, err = capsys.readouterr()
    assert json.loads(out) == {"error": err.strip()}
    assert err.count("\n") == 1
    assert "went wrong" not in err


@pytest.mark.parametrize(
    ("number", "says", "silent"),
    [
        (errno.ENOENT, "Check path and rights", "space"),
        (errno.EACCES, "Check path and rights", "space"),
        (errno.EROFS, "Check path and rights", "space"),
        (errno.ENOSPC, "Free some space", "rights"),
        (errno.EDQUOT, "Free some space", "rights"),
        (errno.EPIPE, "Run it again", "rights"),
        (errno.EIO, "Run it again", "rights"),
        (errno.ECONNREFUSED, "Run it again", "rights"),
        (None, "The system refused", "rights"),
    ],
)
def test_what_the_system_refuses_is_answered_with_what_helps(tmp_path, number, says, silent):
    error = OSError() if number is None else OSError(number, os.strerror(number))
    message = refusal(error, tmp_path)
    assert says in message
    assert silent not in message


@pytest.mark.parametrize("more", [[], ["--json"]])
@pytest.mark.parametrize(("patient", "errors_too"), [("KIM", False), ("NOBODY", True)])
def test_a_reader_that_goes_away_ends_a_verb_without_a_word(tmp_path, patient, errors_too, more):
    opened: Any = open_store(tmp_path)
    with opened as store:
        clinic.add_scan(store, "KIM", clinic.DAYS[0], clinic.noise(1))
        for _ in range(3):
            clinic.add_mask(store, "KIM", clinic.DAYS[0], 800)
    reader, writer = os.pipe()
    os.close(reader)
    answer = subprocess.run(
        [sys.executable, "cli.py", "masks", patient, "--data", str(tmp_path), *more],
        check=False,
        stdout=writer,
        stderr=writer if errors_too else subprocess.PIPE,
        text=True,
    )
    os.close(writer)
    assert answer.returncode == READER_GONE == 141
    assert not answer.stderr


def test_what_is_no_number_is_null_in_json():
    assert json.loads(as_json({"a": [float("nan"), 1.5], "b": float("-inf")})) == {"a": [None, 1.5], "b": None}


def test_a_phantom_is_written_whole_and_never_over_another(tmp_path, capsys):
    made = _run(tmp_path, capsys, "phantom", "--out", tmp_path / "new" / "phantom")
    assert made["simulated"] is True
    truth = read_label_map(tmp_path / "new" / "phantom" / "tumour.nii.gz")
    assert truth.array.astype(bool).sum() * truth.grid.voxel_volume_mm3 == pytest.approx(made["volume_mm3"])
    k, *box = made["box"]
    i, j = np.nonzero(truth.array[:, :, k])
    assert box == [i.min(), j.min(), i.max(), j.max()]
    (tmp_path / "new" / "phantom" / "CT.nii.gz").unlink()
    message = _run(tmp_path, capsys, "phantom", "--out", tmp_path / "new" / "phantom", status=1)
    assert "PET.nii.gz, tumour.nii.gz is there already" in message
    assert not (tmp_path / "new" / "phantom" / "CT.nii.gz").exists()
    (tmp_path / "file").write_text("")
    assert "Check path and rights" in _run(tmp_path, capsys, "phantom", "--out", tmp_path / "file" / "x", status=1)
