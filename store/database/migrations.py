"""From no schema to the newest, one numbered step after the other.

The list only grows: a step that was released is never edited, since somebody's database stands behind it. Each step is
one transaction with its row in `schema_version`, so a crash leaves it done or not begun.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from core.errors import StoreError
from store.database.connection import Connection
from store.values import utc_now


class Migration(NamedTuple):
    """One step: what it is called and its statements, each ended by a semicolon at a line's end."""

    name: str
    sql: str


#: `seq` is the number of the audit entry that made a row: what is newest, whatever the clock said. Rows from before are
#: found by the id that is in their entry's payload once only.
AUDIT_ORDER = """
ALTER TABLE decisions ADD COLUMN seq BIGINT;
UPDATE decisions SET seq = (SELECT max(a.seq) FROM audit a WHERE a.action = 'mask.decided' AND
    substr(a.payload, position('"decision_id": "' IN a.payload) + 16, 36) = decision_id);
ALTER TABLE ood_scores ADD COLUMN seq BIGINT;
UPDATE ood_scores SET seq = (SELECT max(a.seq) FROM audit a WHERE a.action = 'ood.scored' AND
    substr(a.payload, position('"score_id": "' IN a.payload) + 13, 36) = score_id);
ALTER TABLE mask_anomalies ADD COLUMN seq BIGINT;
UPDATE mask_anomalies SET seq = (SELECT max(a.seq) FROM audit a WHERE a.action = 'mask.scored' AND
    substr(a.payload, position('"anomaly_id": "' IN a.payload) + 15, 36) = anomaly_id);
ALTER TABLE events ADD COLUMN seq BIGINT;
UPDATE events SET seq = (SELECT max(a.seq) FROM audit a WHERE a.action = 'event.added' AND
    substr(a.payload, position('"event_id": "' IN a.payload) + 13, 36) = event_id);
ALTER TABLE growth_fits ADD COLUMN seq BIGINT;
UPDATE growth_fits SET seq = (SELECT max(a.seq) FROM audit a WHERE a.action = 'growth.fitted' AND
    substr(a.payload, position('"fit_id": "' IN a.payload) + 11, 36) = fit_id);
ALTER TABLE reference_sets ADD COLUMN seq BIGINT;
UPDATE reference_sets SET seq = (SELECT max(a.seq) FROM audit a WHERE a.action = 'reference_set.added' AND
    substr(a.payload, position('"set_id": "' IN a.payload) + 11, 36) = set_id);
ALTER TABLE scans ADD COLUMN seq BIGINT;
UPDATE scans SET seq = (SELECT max(a.seq) FROM audit a WHERE a.action = 'scan.added' AND
    substr(a.payload, position('"content_sha256": "' IN a.payload) + 19, 64) = content_sha256);
ALTER TABLE scans ADD COLUMN format_version INTEGER;
ALTER TABLE scans ADD COLUMN software VARCHAR;
ALTER TABLE masks ADD COLUMN format_version INTEGER;
ALTER TABLE masks ADD COLUMN model_files VARCHAR;
CREATE TABLE mask_losses (
    mask_id VARCHAR PRIMARY KEY,
    lost BOOLEAN NOT NULL,
    reason VARCHAR NOT NULL,
    person VARCHAR NOT NULL,
    created_at VARCHAR NOT NULL
);
CREATE TABLE file_states (
    path VARCHAR PRIMARY KEY,
    state VARCHAR NOT NULL,
    found_sha256 VARCHAR,
    created_at VARCHAR NOT NULL
);
"""


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
    Migration("order by the audit, formats of sidecars, files lost or doubted", AUDIT_ORDER),
    Migration(
        "who signs in, who is disabled",
        """
ALTER TABLE people ADD COLUMN issuer VARCHAR;
ALTER TABLE people ADD COLUMN subject VARCHAR;
ALTER TABLE people ADD COLUMN email VARCHAR;
ALTER TABLE people ADD COLUMN disabled BOOLEAN DEFAULT FALSE;
ALTER TABLE people ADD COLUMN changes INTEGER DEFAULT 0;
""",
    ),
    Migration(
        "grants per data set",
        """
CREATE TABLE grants (
    name VARCHAR PRIMARY KEY,
    datasets VARCHAR,
    person VARCHAR NOT NULL,
    created_at VARCHAR NOT NULL
);
""",
    ),
    # By image: whatever becomes of its patient, date or number, it is the same one.
    Migration(
        "UIDs of scans",
        """
CREATE TABLE scan_identifiers (
    content_sha256 VARCHAR PRIMARY KEY,
    identifiers_sha256 VARCHAR NOT NULL
);
""",
    ),
    Migration(
        "where scans and masks were moved from",
        """
ALTER TABLE scans ADD COLUMN moved VARCHAR;
ALTER TABLE masks ADD COLUMN moved VARCHAR;
""",
    ),
    # Links by mask and transforms by scan: wherever these are moved to, what was said of them goes along. Label 0: of a
    # lesion that the version has no voxels of.
    Migration(
        "links of lesions, transforms between scans",
        """
CREATE TABLE lesion_links (
    mask_id VARCHAR NOT NULL,
    label INTEGER NOT NULL,
    lesion_id VARCHAR,
    relation VARCHAR NOT NULL,
    confidence DOUBLE,
    into_lesions VARCHAR NOT NULL,
    evidence VARCHAR NOT NULL,
    confirmed_by VARCHAR,
    reason VARCHAR NOT NULL,
    person VARCHAR NOT NULL,
    created_at VARCHAR NOT NULL,
    seq BIGINT NOT NULL,
    place INTEGER NOT NULL,
    PRIMARY KEY (seq, mask_id, place)
);
CREATE TABLE transforms (
    transform_id VARCHAR PRIMARY KEY,
    from_scan_sha256 VARCHAR NOT NULL,
    to_scan_sha256 VARCHAR NOT NULL,
    matrix VARCHAR NOT NULL,
    state VARCHAR NOT NULL,
    method VARCHAR NOT NULL,
    overlap DOUBLE,
    figures VARCHAR NOT NULL,
    parameters VARCHAR NOT NULL,
    message VARCHAR NOT NULL,
    sha256 VARCHAR NOT NULL,
    person VARCHAR NOT NULL,
    created_at VARCHAR NOT NULL,
    seq BIGINT NOT NULL,
    verdict VARCHAR,
    judged_by VARCHAR,
    judged_reason VARCHAR NOT NULL
);
""",
    ),
    # Empty of an event that stands. Place: among those that one entry brought.
    Migration(
        "events corrected and withdrawn",
        """
ALTER TABLE events ADD COLUMN place INTEGER;
ALTER TABLE events ADD COLUMN corrects VARCHAR;
ALTER TABLE events ADD COLUMN replaced_by VARCHAR;
ALTER TABLE events ADD COLUMN withdrawn_by VARCHAR;
ALTER TABLE events ADD COLUMN withdrawn_at VARCHAR;
ALTER TABLE events ADD COLUMN withdrawn_reason VARCHAR;
""",
    ),
    Migration(
        "protocols of responses",
        """
CREATE TABLE protocols (
    protocol_id VARCHAR PRIMARY KEY,
    patient_id VARCHAR,
    dataset VARCHAR,
    protocol VARCHAR NOT NULL,
    reason VARCHAR NOT NULL,
    flips VARCHAR NOT NULL,
    person VARCHAR NOT NULL,
    created_at VARCHAR NOT NULL,
    seq BIGINT NOT NULL
);
""",
    ),
    # By scan, as transforms: wherever it is moved to. `measurements` are those of masks.
    Migration(
        "measurements drawn by hand",
        """
CREATE TABLE hand_measurements (
    measurement_id VARCHAR PRIMARY KEY,
    of_patient VARCHAR NOT NULL,
    scan_sha256 VARCHAR NOT NULL,
    kind VARCHAR NOT NULL,
    plane VARCHAR NOT NULL,
    points_mm VARCHAR NOT NULL,
    value DOUBLE,
    unit VARCHAR NOT NULL,
    statistics VARCHAR,
    lesion_id VARCHAR,
    sets VARCHAR,
    person VARCHAR NOT NULL,
    created_at VARCHAR NOT NULL,
    seq BIGINT NOT NULL,
    withdrawn_by VARCHAR,
    withdrawn_at VARCHAR,
    withdrawn_reason VARCHAR
);
""",
    ),
    Migration("doubts that decisions answer", "ALTER TABLE decisions ADD COLUMN answered VARCHAR DEFAULT '[]';\n"),
    # By mask: wherever it is moved to. Lesions by their labels' numbers, as in `mask_vectors`. A vector is base64 of
    # float16.
    Migration(
        "looks of lesions, marks of what was found for them",
        """
CREATE TABLE lesion_looks (
    mask_id VARCHAR NOT NULL,
    lesion_id VARCHAR NOT NULL,
    encoder VARCHAR NOT NULL,
    modality VARCHAR NOT NULL,
    scan_sha256 VARCHAR NOT NULL,
    vector VARCHAR NOT NULL,
    why VARCHAR NOT NULL,
    person VARCHAR NOT NULL,
    created_at VARCHAR NOT NULL,
    PRIMARY KEY (mask_id, lesion_id, encoder, modality)
);
CREATE TABLE evidence_marks (
    mark_id VARCHAR PRIMARY KEY,
    mask_id VARCHAR NOT NULL,
    lesion_id VARCHAR NOT NULL,
    other_mask_id VARCHAR NOT NULL,
    other_lesion_id VARCHAR NOT NULL,
    relevant BOOLEAN NOT NULL,
    space VARCHAR NOT NULL,
    rank INTEGER NOT NULL,
    distance DOUBLE PRECISION NOT NULL,
    metric VARCHAR NOT NULL,
    person VARCHAR NOT NULL,
    created_at VARCHAR NOT NULL,
    seq BIGINT NOT NULL,
    withdrawn_by VARCHAR,
    withdrawn_at VARCHAR
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
