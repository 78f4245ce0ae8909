"""The SQL below a person's queries."""

from __future__ import annotations

import pytest

from core.access import Scope
from store import Store
from store.ledger.scope import scoped
from tests.store_phantom import DAY1, add_mask, add_scan


@pytest.mark.parametrize("closed", [(), (("P1", DAY1),)])
def test_what_reads_no_patient_is_asked_as_it_is(closed: tuple[tuple[str, str], ...]) -> None:
    for sql in ("SELECT name FROM people WHERE name = ?", "SELECT 1"):
        assert scoped(Scope("bob", "reader", ("other",), closed), sql, ["x"]) == (sql, ["x"])


@pytest.mark.parametrize("with_word", ["WITH", "with"])
@pytest.mark.parametrize("closed", [(), (("X1", "2020-09-09"),)])
def test_a_query_with_names_of_its_own_is_narrowed_too(
    store: Store, with_word: str, closed: tuple[tuple[str, str], ...]
) -> None:
    for patient, dataset in (("P1", "set"), ("X1", "other")):
        add_scan(store, patient, DAY1, seed=ord(patient[0]), dataset=dataset)
        add_mask(store, 3, patient=patient)
    sql = f"{with_word} of_one AS (SELECT * FROM masks WHERE version = ?) SELECT patient_id FROM of_one ORDER BY 1"
    for datasets, seen in ((("other",), ["X1"]), (None, ["P1", "X1"]), ((), [])):
        rows = store.db.query(*scoped(Scope("bob", "reader", datasets, closed), sql, [1]))
        assert [row["patient_id"] for row in rows] == seen
