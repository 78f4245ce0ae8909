"""From no schema to the newest, one numbered step after the other.

The list only grows: a step that was released is never edited, since somebody's database stands behind it. Each step is
one transaction with its row in `schema_version`, so a crash leaves it done or not begun.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from core.errors import StoreError
from store.connection import Connection
from store.values import utc_now


class Migration(NamedTuple):
    """One step: what it is called and its statements, each ended by a semicolon at a line's end."""

    name: str
    sql: str


MIGRATIONS: tuple[Migration, ...] = (
    Migration("first schema", (Path(__file__).parent / "schema.sql").read_text(encoding="utf-8")),
    Migration(
        "several readers",
        """
CREATE TABLE reading_settings (
    patient_id VARCHAR NOT NULL,
    timepoint VARCHAR NOT NULL,
    blind BOOLEAN NOT NULL,
    person VARCHAR NOT NULL,
    created_at VARCHAR NOT NULL,
    PRIMARY KEY (patient_id, timepoint)
);
CREATE TABLE readings_finished (
    patient_id VARCHAR NOT NULL,
    timepoint VARCHAR NOT NULL,
    person VARCHAR NOT NULL,
    created_at VARCHAR NOT NULL,
    PRIMARY KEY (patient_id, timepoint, person)
);
""",
    ),
)


def statements(sql: str) -> list[str]:
    """The statements of a script, without its comment lines."""
    lines = [line for line in sql.splitlines() if not line.lstrip().startswith("--")]
    return [part.strip() for part in ("\n".join(lines) + "\n").split(";\n") if part.strip()]


def schema_version(db: Connection) -> int:
    """The number of the newest step that was taken; 0 for an empty database."""
    db.execute(
        "CREATE TABLE IF NOT EXISTS schema_version "
        "(version INTEGER PRIMARY KEY, name VARCHAR NOT NULL, applied_at VARCHAR NOT NULL)"
    )
    return int(db.query("SELECT coalesce(max(version), 0) AS version FROM schema_version")[0]["version"])


def migrate(db: Connection, migrations: tuple[Migration, ...] = MIGRATIONS) -> int:
    """Take every step not yet taken; returns how many that were.

    Raises:
        StoreError: if the database is of a newer TwinReview than this one.
    """
    with db.lock:
        version = schema_version(db)
        if version > len(migrations):
            raise StoreError(
                f"The database has schema {version}, this TwinReview knows up to {len(migrations)}. "
                "Update TwinReview, or use another data folder."
            )
        for number, migration in enumerate(migrations[version:], start=version + 1):
            with db.transaction():
                for statement in statements(migration.sql):
                    db.execute(statement)
                db.execute(
                    "INSERT INTO schema_version (version, name, applied_at) VALUES (?, ?, ?)",
                    [number, migration.name, utc_now()],
                )
        return len(migrations) - version
