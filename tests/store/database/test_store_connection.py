"""The connection and the migrations: one transaction or none of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from core.errors import StoreError
from store.database.connection import Connection
from store.database.migrations import MIGRATIONS, Migration, migrate, schema_version, statements

ROOT = Path(__file__).resolve().parents[3]


def test_an_error_in_a_transaction_undoes_all_of_it(tmp_path: Path) -> None:
    with Connection(tmp_path / "x.duckdb") as db:
        db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, name VARCHAR)")

        def fails() -> None:
            with db.transaction():
                db.execute("INSERT INTO t VALUES (?, ?)", [1, "a"])
                assert db.query("SELECT name FROM t") == [{"name": "a"}]
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            fails()
        assert db.query("SELECT * FROM t") == []
        with db.transaction():
            db.execute_many("INSERT INTO t VALUES (?, ?)", [[1, "a"], [2, None]])
        assert db.query("SELECT * FROM t WHERE id > ? ORDER BY id", [0]) == [
            {"id": 1, "name": "a"},
            {"id": 2, "name": None},
        ]
        with pytest.raises(StoreError, match="do not nest"), db.transaction(), db.transaction():
            pass
        with pytest.raises(db.Error), db.transaction():
            db.execute("INSERT INTO t VALUES (1, 'again')")
        db.execute("UPDATE t SET name = 'b' WHERE id = 1")  # the connection is usable after an error
        assert db.query("SELECT name FROM t WHERE id = 1") == [{"name": "b"}]


def test_closing_lets_go_of_the_file(tmp_path: Path) -> None:
    db = Connection(tmp_path / "x.duckdb")
    db.query("SELECT 1")
    db.close()
    db.close()
    with pytest.raises(StoreError, match="closed"):
        db.query("SELECT 1")
    code = "import duckdb, sys; duckdb.connect(sys.argv[1])"
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "x.duckdb")], check=True)


def test_migrations_are_taken_once_in_order_and_each_whole_or_not(tmp_path: Path) -> None:
    first = Migration("first", "-- a comment; with a semicolon\nCREATE TABLE a (x INTEGER);\n")
    second = Migration("second", "ALTER TABLE a ADD COLUMN y INTEGER;\nINSERT INTO a VALUES (1, 2);\n")
    broken = Migration("broken", "CREATE TABLE b (x INTEGER);\nINSERT INTO nowhere VALUES (1);\n")
    with Connection(tmp_path / "x.duckdb") as db:
        assert migrate(db, (first,)) == 1
        assert migrate(db, (first, second)) == 1
        assert migrate(db, (first, second)) == 0
        with pytest.raises(db.Error):
            migrate(db, (first, second, broken))
        assert schema_version(db) == 2
        with pytest.raises(db.Error):
            db.query("SELECT * FROM b")
        assert db.query("SELECT x, y FROM a") == [{"x": 1, "y": 2}]
        with pytest.raises(StoreError, match="schema 2, this TwinReview knows up to 1"):
            migrate(db, (first,))


def test_the_schema_has_every_table_of_the_design() -> None:
    tables = {s.split("(")[0].removeprefix("CREATE TABLE").strip() for m in MIGRATIONS for s in statements(m.sql)}
    assert tables >= {
        "patients",
        "timepoints",
        "scans",
        "masks",
        "lesions",
        "measurements",
        "decisions",
        "ood_scores",
        "mask_anomalies",
        "events",
        "growth_fits",
        "models",
        "reference_sets",
        "jobs",
        "people",
        "audit",
        "mask_vectors",
    }


def test_importing_the_store_is_cheap() -> None:
    code = "import sys, store; print([m for m in ('torch', 'streamlit', 'hnswlib') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
