"""A table of events is taken whole or not at all; every line that is none is named."""

from __future__ import annotations

import datetime as dt

import pytest

from core.errors import InputError
from core.remembered.rows import NewEvent
from core.review.event_table import MOST_PROBLEMS, events_of_table

TODAY = dt.date(2025, 1, 1)


def read(tmp_path, text, encoding="utf-8"):
    path = tmp_path / "events.csv"
    path.write_bytes(text.encode(encoding))
    return events_of_table(path, ["P1", "P2"], TODAY)


@pytest.mark.parametrize("mark", [",", ";"])
def test_each_line_is_a_checked_event_and_empty_cells_are_not_given(tmp_path, mark):
    text = (
        "\ufeffPatient,Date,Kind,technique,dose_gy,site,drug\r\n"
        'P1,2024-01-10,radiotherapy,vmat,50,"left hip",\r\n\r\n'
        "P2,2024-02-01,drug-start,,,,imatinib\r\nP2,2024-03-01,death\r\n"
    ).replace(",", mark)
    assert read(tmp_path, text) == [
        NewEvent("P1", "2024-01-10", "radiotherapy", {"technique": "vmat", "dose_gy": 50, "site": "left hip"}),
        NewEvent("P2", "2024-02-01", "drug-start", {"drug": "imatinib"}),
        NewEvent("P2", "2024-03-01", "death", {}),
    ]


def test_every_line_that_is_none_is_named(tmp_path):
    text = "\n".join(
        [
            "patient,date,kind,dose_gy,technique",
            "P1,2024-01-10,radiotherapy,50,vmat",
            "P9,2024-01-10,relapse",
            "",
            "P1,10.1.2024,relapse",
            "P1,2024-01-10,relapse,50",
            "P1,,relapse",
            "P1,2030-01-10,death",
            "P1,2024-01-10,radiotherapy,50,vmat",
            "P1,2024-01-10,relapse,,,more",
        ]
    )
    with pytest.raises(InputError) as refused:
        read(tmp_path, text)
    said = str(refused.value)
    assert said.startswith("7 of 8 lines of events.csv are no events; nothing was imported. line 3: ")
    for part in (
        "line 3: there is no patient 'P9'",
        "line 5: Expected a date",
        "line 6: Expected of the event relapse only site",
        "line 7: it lacks date",
        "line 8: Expected death on a day that has been",
        "line 9: the same event as line 2",
        "line 10: it has 6 cells below 5 columns",
    ):
        assert part in said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "got 0 lines"),
        ("patient,date,kind\n", "its column names alone"),
        ("patient,date\nP1,2024-01-01\n", "lacks the column kind"),
        ("patient,date,kind,dose\nP1,2024-01-01,relapse,\n", None),
        ("patient,date,kind,doze\nP1,2024-01-01,relapse,\n", "has the column doze"),
        ("patient,date,kind,kind\nP1,2024-01-01,relapse,\n", "has twice the column kind"),
        ('patient,date,kind\nP1,"2024', "as CSV"),
    ],
)
def test_a_table_that_is_none_is_refused(tmp_path, text, said):
    if said is None:
        assert len(read(tmp_path, text)) == 1
        return
    with pytest.raises(InputError, match=said):
        read(tmp_path, text)


def test_another_encoding_and_a_flood_of_problems_are_told_shortly(tmp_path):
    with pytest.raises(InputError, match="UTF-8"):
        read(tmp_path, "patient,date,kind,comment\nP1,2024-01-01,relapse,Fuß\n", "latin-1")
    with pytest.raises(InputError, match=f"… and {50 - MOST_PROBLEMS} more"):
        read(tmp_path, "patient,date,kind\n" + "P9,2024-01-01,relapse\n" * 50)
